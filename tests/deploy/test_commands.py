"""The commands that the compose file, the image and the manifests give, run as they are written, on this machine."""

import asyncio
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from contracts.base import parse_duration
from contracts.names import VIEW_QUERY
from contracts.run import RunView
from runtime.server import temporal_binary
from runtime.watch import ask
from tests.business import eventually
from tests.deploy.files import (
    BUILD_ID,
    COMPOSE_FILE,
    DEPLOY,
    ROOT,
    SERVICES,
    compose_environment,
    container,
    health_checks,
    image_command,
    image_environment,
    kubernetes_environment,
    manifest,
    shell,
    starter_commands,
    worker_container,
)
from tests.deploy.serving import HERE, at_work, pages, serves, succeeds
from tests.runtime.bucket import bucket_server
from tests.stores import Server, needs, postgres_server

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

DATABASE = "postgresql.surefoot.svc.cluster.local/surefoot"
LINKS_KEY = b64encode(bytes(32)).decode()
"""Of the secret."""


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """PostgreSQL with the database that the manifests name."""
    needs("postgresql")
    import psycopg

    with postgres_server() as server:
        with psycopg.connect(server.url, password=server.password, autocommit=True) as connection:
            connection.execute("CREATE DATABASE surefoot")
        yield replace(server, url=server.url.rpartition("/")[0] + "/surefoot")


@pytest.fixture
def of_manifests(database: Server) -> Iterator[dict[str, str]]:
    """The environment of their pods, with a database and a bucket of this machine."""
    needs("s3")
    here = database.url.rpartition("@")[2]
    given = {name: value.replace(DATABASE, here) for name, value in kubernetes_environment().items()}
    assert [name for name, value in given.items() if here in value] == [
        "SUREFOOT_CONVERSATIONS__STORE",
        "SUREFOOT_RECORDS__URL",
    ]
    secrets = {name: "something" for name in manifest("Secret", "surefoot")["stringData"] if name.startswith("AWS_")}
    with bucket_server() as bucket:
        yield {
            **given,
            **secrets,
            "DATABASE_PASSWORD": database.password,
            "LINKS_KEY": LINKS_KEY,
            "AWS_ENDPOINT_URL": bucket.url,
        }


def databases(home: Path) -> set[str]:
    return {file.name for file in home.glob("*.db")}


async def test_the_worker_of_the_compose_file(client: Client, tmp_path: Path) -> None:
    command = SERVICES["worker"].get("command", image_command())
    given = {name: value for name, value in image_environment().items() if value}
    await serves(client, str(tmp_path), command, {**given, **compose_environment("worker")})


async def test_the_worker_of_the_manifests(
    client: Client, tmp_path: Path, of_manifests: dict[str, str], database: Server
) -> None:
    import psycopg

    given = {**of_manifests, "SUREFOOT_DEPLOYMENT": f"deploy-{uuid4().hex}"}
    assert given["SUREFOOT_BUILD_ID"] == BUILD_ID
    said = starter_commands(DEPLOY / "kubernetes" / "release.yaml")
    release = [words for words in said if BUILD_ID in words.split()]
    assert [words.split()[1] for words in release] == ["ramp", "promote"]
    await serves(client, str(tmp_path), worker_container()["command"], given, before=release)
    with psycopg.connect(database.url, password=database.password) as connection:
        assert connection.execute("SELECT count(*) FROM surefoot_events").fetchall() != [(0,)]
    assert databases(tmp_path) == {"business.db"}, "nothing of ours is left in a pod"


async def test_the_pages_of_the_manifests(client: Client, tmp_path: Path, of_manifests: dict[str, str]) -> None:
    given = {**of_manifests, "TEMPORAL_ADDRESS": client.service_client.config.target_host}
    # The probes, too, ask whether anything listens.
    async with pages(tmp_path, container("surefoot-pages")["command"], given, health_checks()["pages"]):
        pass


async def test_what_the_compose_file_says_to_do_leads_to_a_page_where_somebody_decides(
    client: Client, tmp_path: Path
) -> None:
    """A run is started, a link to its approval made, and the link opened in the pages that the file serves."""
    running, linking = starter_commands(COMPOSE_FILE)
    image = {name: value for name, value in image_environment().items() if value}
    given = {**image, **compose_environment("worker")}
    async with (
        at_work(client, str(tmp_path), image_command(), given) as environment,
        pages(tmp_path, SERVICES["pages"]["command"], environment, health_checks()["pages"]) as port,
    ):
        run = f"employee-onboarding-{uuid4().hex}"
        started = [*running.split(), "--id", run.rpartition("-")[2]]
        assert await succeeds(HERE.argv(["python", "starter.py", *started], environment))
        handle = client.get_workflow_handle(run)
        await eventually(lambda: ask(handle, VIEW_QUERY, RunView), lambda view: view.waiting)
        made = HERE.argv(["python", "starter.py", *linking.replace("RUN", run).split()], environment)
        link = (await asyncio.to_thread(subprocess.check_output, made, text=True)).strip()
        published = given["SUREFOOT_LINKS__URL"]
        assert link.startswith(f"{published}/")
        assert any(each.endswith(f":{urlsplit(published).port}:8235") for each in SERVICES["pages"]["ports"])
        async with httpx2.AsyncClient(timeout=60) as browser:
            page = await browser.get(link.replace(published, f"http://127.0.0.1:{port}"))
        assert "You decide as <b>user:mia</b>" in page.text
        await handle.terminate()


async def test_the_namespace_is_made_once_and_keeps_runs_for_a_month(client: Client) -> None:
    name = f"made-{uuid4().hex}"
    said = SERVICES["namespace"]["environment"]
    instead = {"temporal:7233": client.service_client.config.target_host, "default": name}
    here = {
        "PATH": f"{temporal_binary().parent}:/usr/bin:/bin",
        "HOME": "/nonexistent",
        **{key: instead[value] for key, value in said.items()},
    }
    for _ in range(2):
        done = await asyncio.create_subprocess_exec(*shell("namespace"), env=here, stdout=subprocess.DEVNULL)
        assert await done.wait() == 0
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == parse_duration("30d")


def test_a_release_is_made_of_its_file_by_the_command_in_it() -> None:
    file = DEPLOY / "kubernetes" / "release.yaml"
    said = next(line for line in file.read_text().splitlines() if "kubectl apply --filename -" in line)
    command = said.removeprefix("#").strip().removesuffix("| kubectl apply --filename -")
    if shutil.which("envsubst") is None:
        pytest.skip("no envsubst here (Debian, Ubuntu: apt install gettext-base)")
    made = subprocess.run(["sh", "-euc", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made == file.read_text().replace("$BUILD_ID", BUILD_ID)
