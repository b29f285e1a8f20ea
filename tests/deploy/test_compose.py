"""The container files name only what is there."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from contracts.base import parse_duration
from runtime.server import temporal_binary
from runtime.settings import Settings
from tests.deploy.files import (
    COMPOSE,
    COMPOSE_FILE,
    DOCKERFILE,
    ROOT,
    SERVICES,
    health_command,
    image_command,
    image_environment,
)
from tests.deploy.programs import docker_compose

PINNED = re.compile(r".+:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?")


def test_docker_compose_takes_the_file_and_misses_nothing_in_it() -> None:
    done = docker_compose("config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    assert services.keys() == SERVICES.keys()
    # Read as our tests read them, who do without it.
    assert {name: each["image"] for name, each in services.items()} == {
        name: each["image"] for name, each in SERVICES.items()
    }


@pytest.mark.parametrize(
    "wrong",
    [("healthcheck:", "helthcheck:"), ("replicas: 2", "replicas: two"), ("postgresql:/var", "postgres:/var")],
    ids=str,
)
def test_docker_compose_refuses_what_it_does_not_know(wrong: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(COMPOSE_FILE.read_text().replace(*wrong, 1))
    assert docker_compose("config", file=file).returncode != 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_only_for_services_that_can_come_to_that_state(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert str(SERVICES[other]["restart"]).startswith("on-failure"), "it would be started for ever"


def test_images_are_pinned_and_ports_are_for_this_machine() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [line.split()[1] for line in DOCKERFILE if line.startswith("FROM ")]
    assert [image for image in images if not PINNED.fullmatch(image)] == []
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_server_and_its_pages_are_those_that_all_other_tests_run_on() -> None:
    embedded = subprocess.run([temporal_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    server, ui = re.findall(r"Server ([\d.]+), UI ([\d.]+)", embedded)[0]
    images = {service["image"] for service in SERVICES.values() if service["image"].startswith("temporalio/")}
    assert images == {f"temporalio/server:{server}", f"temporalio/admin-tools:{server}", f"temporalio/ui:{ui}"}


def test_volumes_and_configs_that_are_used_are_declared() -> None:
    for service in SERVICES.values():
        sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {source for source in sources if source[0] != "."} <= set(COMPOSE["volumes"])
        assert [source for source in sources if source[0] == "." and not (ROOT / source).is_dir()] == []
        for config in service.get("configs", []):
            assert yaml.safe_load(COMPOSE["configs"][config["source"]]["content"])
            assert config["target"].endswith(service["environment"]["DYNAMIC_CONFIG_FILE_PATH"])


def test_the_worker_is_given_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = {**image_environment(), **SERVICES["worker"]["environment"]}
    given = {key: value for key, value in worker.items() if key.startswith("SUREFOOT_")}
    assert {key.removeprefix("SUREFOOT_").lower().split("__")[0] for key in given} <= set(Settings.model_fields)
    for key, value in given.items():
        monkeypatch.setenv(key, value or "")
    settings = Settings()
    assert (settings.home, settings.log, settings.ui_url) == (Path("/data"), "json", "http://localhost:8080")


def test_the_workers_namespace_is_the_one_that_is_made() -> None:
    for key in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"):
        assert SERVICES["worker"]["environment"][key] == SERVICES["namespace"]["environment"][key]
    host, port = SERVICES["worker"]["environment"]["TEMPORAL_ADDRESS"].split(":")
    assert any(published.endswith(f":{port}") for published in SERVICES[host]["ports"])


def test_the_image_copies_what_is_there_and_all_that_the_worker_imports() -> None:
    copied: set[str] = set()
    for line in DOCKERFILE:
        if line.startswith("COPY ") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert copied == allowed
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} - {"tests", "testkit", "evals"}
    assert folders | {"processes", "worker.py", "starter.py"} <= copied


def test_the_image_does_not_run_as_root() -> None:
    users = [line.split()[1] for line in DOCKERFILE if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    assert image_command() == ["python", "worker.py"]


def test_the_image_is_asked_for_its_health_where_it_answers() -> None:
    assert f":{image_environment()['SUREFOOT_HEALTH_PORT']}/readyz" in health_command()[-1]


def test_a_worker_is_given_the_time_to_finish_what_it_does() -> None:
    assert parse_duration(SERVICES["worker"]["stop_grace_period"]) > Settings().grace


def test_there_are_several_workers() -> None:
    assert SERVICES["worker"]["deploy"]["replicas"] > 1
    assert "ports" not in SERVICES["worker"], "two of them cannot have one port of this machine"
