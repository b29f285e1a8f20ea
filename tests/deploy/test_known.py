"""Every setting that the compose file gives to images of others is one that they read, every option one they take."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.server import temporal_binary
from tests.deploy.files import COMPOSE, DEPLOY, SERVICES, compose_environment, repository, shell
from tests.deploy.known import DYNAMIC, PROVISIONING, server_variables, variables
from tests.deploy.sql_tool import SCHEMAS

OTHERS = [name for name in SERVICES if repository(name) != "surefoot"]
SQL_TOOL = Path(__file__).parent / "sql_tool.py"


def unknown(repository: str, names: set[str]) -> set[str]:
    return names - variables(repository)


@pytest.mark.parametrize("service", OTHERS)
def test_every_variable_of_a_service_is_one_that_its_image_reads(service: str) -> None:
    assert unknown(repository(service), set(SERVICES[service].get("environment", {}))) == set()


@pytest.mark.parametrize("service", [name for name in OTHERS if compose_environment(name)])
def test_a_misspelt_variable_is_seen(service: str) -> None:
    for name in compose_environment(service):
        wrong = f"{name}S"
        assert unknown(repository(service), {name, wrong}) == {wrong}


def test_the_server_of_the_tests_holds_the_template_of_its_image() -> None:
    assert {"DB", "SQL_MAX_CONNS", "FRONTEND_GRPC_PORT", "NUM_HISTORY_SHARDS"} <= server_variables()
    assert len(server_variables()) > 100


def test_dynamic_settings_are_the_servers_own_and_of_their_kinds() -> None:
    server = temporal_binary().read_bytes()
    for config in COMPOSE["configs"].values():
        for name, rules in yaml.safe_load(config["content"]).items():
            assert [type(rule["value"]) for rule in rules] == [DYNAMIC[name]]
            assert name.encode() in server


@pytest.mark.parametrize(
    ("file", "section"), [("datasources/prometheus", "datasources"), ("dashboards/surefoot", "providers")]
)
def test_what_grafana_is_provisioned_with_is_what_it_reads(file: str, section: str) -> None:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / f"{file}.yml").read_text())
    assert read.keys() == {"apiVersion", section}
    assert {key for each in read[section] for key in each} <= set(PROVISIONING[section].split())


def test_both_databases_are_brought_to_the_servers_schema(tmp_path: Path) -> None:
    """By Temporal's tool, in whose place stands one that takes the same options and notes what it is told."""
    (tmp_path / "temporal-sql-tool").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SQL_TOOL}" "$@"\n')
    (tmp_path / "temporal-sql-tool").chmod(0o755)
    here = {**compose_environment("schema"), "PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    subprocess.run(shell("schema"), env=here, check=True, capture_output=True)
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    names = ("endpoint", "port", "user", "plugin")
    assert [[each[name] for name in names] for each in told] == [["postgresql", "5432", "temporal", "postgres12"]] * 6
    folders = {"temporal": "temporal", "temporal_visibility": "visibility"}
    assert [(each["database"], each["command"], each.get("version") or each.get("schema_dir")) for each in told] == [
        (database, *rest)
        for database, folder in folders.items()
        for rest in (
            ("create", None),
            ("setup-schema", "0.0"),
            ("update-schema", f"/etc/temporal/schema/postgresql/v12/{folder}/versioned"),
        )
    ]
    assert {each["schema_dir"] for each in told if "schema_dir" in each} <= set(SCHEMAS)


@pytest.mark.parametrize(
    "words",
    ["--databse temporal create", "create-databse", "update-schema --schema-dri /etc", "setup-schema --ver 0.0"],
)
def test_what_temporals_tool_does_not_take_is_refused(words: str, tmp_path: Path) -> None:
    here = {**compose_environment("schema"), "LOG": str(tmp_path / "log")}
    done = subprocess.run([sys.executable, SQL_TOOL, *words.split()], env=here, capture_output=True, check=False)
    assert done.returncode == 2
