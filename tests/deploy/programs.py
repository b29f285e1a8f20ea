"""Programs that read what lies in deploy/, where this machine has them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import BUILD_ID, COMPOSE_FILE, DEPLOY, ROOT


def program(name: str, package: str) -> str:
    """Where it is; else the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here (Debian, Ubuntu: apt install {package})")
    return found


def docker_compose(*words: str, file: Path = COMPOSE_FILE, **more: str) -> "subprocess.CompletedProcess[str]":
    """Docker Compose itself, which needs no engine to read."""
    found = Path(sys.executable).parent / "docker-compose"
    if not found.exists():
        pytest.skip("make setup WITH=deploy")
    command = [str(found), "--project-directory", str(ROOT), "--file", str(file), *words]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **more}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def kubectl(*words: str) -> "subprocess.CompletedProcess[str]":
    """What it reads from a pipe is a release."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("no kubectl here")
    release = (DEPLOY / "kubernetes" / "release.yaml").read_text().replace("$BUILD_ID", BUILD_ID)
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run(
        [found, *words], cwd=ROOT, env=environment, input=release, capture_output=True, text=True, check=False
    )
