"""The container files name only what is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import Settings
from tests.architecture.project import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
PINNED = re.compile(r".+:\d+\.\d+(\.\d+)?(-[a-z-]+)?")


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


def test_volumes_and_configs_that_are_used_are_declared() -> None:
    for service in SERVICES.values():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
        for config in service.get("configs", []):
            assert yaml.safe_load(COMPOSE["configs"][config["source"]]["content"])
            assert config["target"].endswith(service["environment"]["DYNAMIC_CONFIG_FILE_PATH"])


def test_the_worker_is_given_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {key: value for key, value in SERVICES["worker"]["environment"].items() if key.startswith("SUREFOOT_")}
    assert {key.removeprefix("SUREFOOT_").lower() for key in given} <= set(Settings.model_fields)
    for key, value in given.items():
        monkeypatch.setenv(key, value)
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
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists() and path.name != "tests"}
    assert folders | {"processes", "worker.py", "starter.py"} <= copied


def test_the_image_does_not_run_as_root() -> None:
    users = [line.split()[1] for line in DOCKERFILE if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    assert 'CMD ["python", "worker.py"]' in DOCKERFILE
