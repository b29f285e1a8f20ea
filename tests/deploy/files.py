"""What lies in Dockerfile, docker-compose.yml and deploy/, as the tests look at it."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
BUILD_ID = "1.4.0"


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of this name in the Dockerfile, lines joined."""
    return [line.strip().removeprefix(f"{name} ").strip() for line in DOCKERFILE if line.strip().startswith(f"{name} ")]


def image_environment() -> dict[str, str]:
    """What `ENV` sets in the last stage."""
    pairs = [pair.split("=", 1) for line in instructions("ENV") for pair in line.split()]
    return {name: value.replace("$BUILD_ID", "") for name, value in pairs}


def image_command() -> list[str]:
    command: list[str] = json.loads(instructions("CMD")[-1])
    return command


def health_command() -> list[str]:
    """What the image's HEALTHCHECK runs."""
    (check,) = re.findall(r"CMD (\[.*\])", instructions("HEALTHCHECK")[-1])
    command: list[str] = json.loads(check)
    return command


def shell(service: str) -> list[str]:
    """What a service of the compose file runs; there a dollar is written twice."""
    return [word.replace("$$", "$") for key in ("entrypoint", "command") for word in SERVICES[service][key]]


def repository(service: str) -> str:
    """Its image, without the tag."""
    return str(SERVICES[service]["image"].rpartition(":")[0])


def compose_environment(service: str) -> dict[str, str]:
    """What it is given that has a value in the file."""
    return {name: value for name, value in SERVICES[service].get("environment", {}).items() if value}


def health_checks() -> dict[str, list[str]]:
    """What the compose file's own health checks run, by service."""
    asked = {name: each["healthcheck"]["test"] for name, each in SERVICES.items() if "healthcheck" in each}
    return {
        name: [*(["/bin/sh", "-c"] if kind == "CMD-SHELL" else []), *words] for name, (kind, *words) in asked.items()
    }


def manifests() -> list[dict[str, Any]]:
    """Every Kubernetes resource, of one release."""
    found: list[dict[str, Any]] = []
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        found += yaml.safe_load_all(file.read_text().replace("$BUILD_ID", BUILD_ID))
    return found


def manifest(kind: str, name: str) -> dict[str, Any]:
    return next(each for each in manifests() if (each["kind"], each.get("metadata", {}).get("name")) == (kind, name))


def starter_commands(file: Path) -> list[str]:
    """What a file's comments say to do with `starter.py`, without that name."""
    comments = "\n".join(line for line in file.read_text().splitlines() if line.strip().startswith("#"))
    return re.findall(r"starter\.py (.+?)(?:  |`|$)", comments, re.M)


def worker_container() -> dict[str, Any]:
    return container(f"surefoot-worker-{BUILD_ID}")


def container(deployment: str) -> dict[str, Any]:
    """The one container of its pods."""
    pod = manifest("Deployment", deployment)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    found: dict[str, Any] = container
    return found


def kubernetes_environment() -> dict[str, str]:
    """What the worker's container is given that is no secret."""
    given: dict[str, str] = dict(manifest("ConfigMap", "surefoot")["data"])
    return {**given, **{each["name"]: each["value"] for each in worker_container()["env"]}}
