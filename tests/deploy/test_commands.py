"""The commands that the compose file, the image and the manifests give, run as they are written, on this machine."""

import asyncio
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from contracts.base import parse_duration
from runtime.server import temporal_binary
from runtime.settings import Settings
from tests.business import eventually
from tests.deploy.files import (
    BUILD_ID,
    COMPOSE_FILE,
    DEPLOY,
    ROOT,
    SERVICES,
    container,
    image_command,
    image_environment,
    kubernetes_environment,
    shell,
    starter_commands,
    worker_container,
)
from tests.deploy.serving import free_port, serves, written

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

ELSEWHERE = ("SUREFOOT_CONVERSATIONS__", "SUREFOOT_RECORDS__", "SUREFOOT_STORAGE__")
"""Databases and buckets, which are not on this machine."""
LINKS_KEY = b64encode(bytes(32)).decode()
"""Of the secret."""


def compose_environment(service: str) -> dict[str, str]:
    return {name: value for name, value in SERVICES[service]["environment"].items() if value}


def manifests_environment() -> dict[str, str]:
    given = {name: value for name, value in kubernetes_environment().items() if not name.startswith(ELSEWHERE)}
    return {**given, "LINKS_KEY": LINKS_KEY}


async def test_the_worker_of_the_compose_file(client: Client, tmp_path: Path) -> None:
    command = SERVICES["worker"].get("command", image_command())
    given = {name: value for name, value in image_environment().items() if value}
    await serves(client, str(tmp_path), command, {**given, **compose_environment("worker")})


async def test_the_worker_of_the_manifests(client: Client, tmp_path: Path) -> None:
    given = {**manifests_environment(), "SUREFOOT_DEPLOYMENT": f"deploy-{uuid4().hex}"}
    assert given["SUREFOOT_BUILD_ID"] == BUILD_ID
    said = starter_commands(DEPLOY / "kubernetes" / "release.yaml")
    release = [words for words in said if BUILD_ID in words.split()]
    assert [words.split()[1] for words in release] == ["ramp", "promote"]
    await serves(client, str(tmp_path), worker_container()["command"], given, before=release)


@pytest.mark.parametrize("kind", ["compose", "manifests"])
async def test_the_pages(client: Client, tmp_path: Path, kind: str) -> None:
    port = free_port()
    given = compose_environment("pages") if kind == "compose" else manifests_environment()
    command = SERVICES["pages"]["command"] if kind == "compose" else container("surefoot-pages")["command"]
    here = {
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "SUREFOOT_HOME": str(tmp_path),
        "SUREFOOT_LINKS__PORT": port,
    }
    served = await asyncio.create_subprocess_exec(
        *written(command), cwd=ROOT, env={**os.environ, **given, **here}, stdin=subprocess.DEVNULL
    )
    # The probes of the manifests, too, ask whether anything listens.
    asks = SERVICES["pages"]["healthcheck"]["test"][1:]
    check = [word.replace(str(Settings().links.port), port) for word in written(asks)]

    async def healthy() -> bool:
        done = await asyncio.to_thread(subprocess.run, check, capture_output=True, check=False)
        return done.returncode == 0

    assert not await healthy()
    try:
        await eventually(healthy, bool)
    finally:
        served.terminate()
        await served.wait()


async def test_a_run_is_started_as_the_compose_file_says(client: Client, tmp_path: Path) -> None:
    (words,) = starter_commands(COMPOSE_FILE)
    here = {"TEMPORAL_ADDRESS": client.service_client.config.target_host, "SUREFOOT_HOME": str(tmp_path)}
    command = [sys.executable, "starter.py", *words.split(), "--id", uuid4().hex]
    done = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={**os.environ, **here})
    assert await done.wait() == 0
    await client.get_workflow_handle(f"employee-onboarding-{command[-1]}").terminate()


async def test_the_namespace_is_made_once_and_keeps_runs_for_a_month(client: Client) -> None:
    name = f"made-{uuid4().hex}"
    here = {
        "PATH": f"{temporal_binary().parent}:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": name,
    }
    for _ in range(2):
        done = await asyncio.create_subprocess_exec(*shell("namespace"), env=here, stdout=subprocess.DEVNULL)
        assert await done.wait() == 0
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == parse_duration("30d")


SQL_TOOL = """#!/bin/sh
echo "$@" >>"$LOG"
test "$3" != create
"""
"""What stands in for Temporal's tool: it notes what it is told, and says of every database that it is there."""


def test_both_databases_are_brought_to_the_servers_schema_whether_they_are_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "temporal-sql-tool").write_text(SQL_TOOL)
    (tmp_path / "temporal-sql-tool").chmod(0o755)
    here = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    subprocess.run(shell("schema"), env=here, check=True, capture_output=True)
    assert (tmp_path / "log").read_text().splitlines() == [
        line
        for database, folder in (("temporal", "temporal"), ("temporal_visibility", "visibility"))
        for line in (
            f"--database {database} create",
            f"--database {database} setup-schema --version 0.0",
            f"--database {database} update-schema --schema-dir /etc/temporal/schema/postgresql/v12/{folder}/versioned",
        )
    ]


def test_a_release_is_made_of_its_file_by_the_command_in_it() -> None:
    file = DEPLOY / "kubernetes" / "release.yaml"
    said = next(line for line in file.read_text().splitlines() if "kubectl apply --filename -" in line)
    command = said.removeprefix("#").strip().removesuffix("| kubectl apply --filename -")
    if shutil.which("envsubst") is None:
        pytest.skip("no envsubst here (Debian, Ubuntu: apt install gettext-base)")
    made = subprocess.run(["sh", "-euc", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made == file.read_text().replace("$BUILD_ID", BUILD_ID)
