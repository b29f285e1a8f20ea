"""The Dockerfile's instructions, done in empty root folders, make something that runs as a worker without rights."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from temporalio.client import Client

from runtime.release import build_id
from runtime.settings import Settings
from tests.deploy.build import OFFLINE, Root, build
from tests.deploy.files import ROOT, image_command, image_environment, instructions
from tests.deploy.serving import serves

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Root]:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def image(stages: dict[str, Root]) -> Root:
    return stages["image"]


def installing() -> list[str]:
    """The commands that install packages."""
    return [" ".join(part.split()) for part in instructions("RUN")[0].split("&&")]


def said(image: Root, command: str) -> str:
    """What a command prints that is given in the image."""
    done = image.run(command, SUREFOOT_HOME="/data")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_groups_of_packages_are_named_as_the_page_names_them(tmp_path: Path) -> None:
    (groups,) = set(re.findall(r'--build-arg WITH="(.*?)"', (ROOT / "docs" / "cluster.md").read_text()))
    (tmp_path / "uv").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    _, uv = installing()
    path = f"{tmp_path}:/usr/bin:/bin"
    told = [
        subprocess.run(["sh", "-c", uv], env={"PATH": path, "WITH": given}, capture_output=True, text=True, check=True)
        for given in (groups, "")
    ]
    assert [re.findall(r"--group (\S+)", each.stdout) for each in told] == [groups.split(), []]
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert set(groups.split()) <= known.keys()


@pytest.mark.parametrize("file", ["uv.txt", "uv.lock"])
def test_a_package_with_another_hash_is_not_installed(stages: dict[str, Root], file: str) -> None:
    """All hashes of uv, or of one package of ours, are others than the one of what was fetched."""
    packages = stages["packages"]
    folder = packages.path("/") / "tampered"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in (".ci/uv.txt", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, folder)
    text = (folder / file).read_text()
    start = text.index('name = "typer"') if file == "uv.lock" else 0
    end = text.index("[[package]]", start) if file == "uv.lock" else len(text)
    tampered = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", text[start:end])
    (folder / file).write_text(text[:start] + tampered + text[end:])
    pip, uv = installing()
    # uv itself is there already, and would be left as it is.
    command = pip.replace("pip install ", "pip install --force-reinstall ") if file == "uv.txt" else uv
    inside = Root(packages.folder, workdir="/tampered")
    done = inside.run(command.replace(" --no-cache ", " "), HOME="/root", WITH="", **OFFLINE)
    assert done.returncode != 0
    assert "hash" in done.stderr.lower(), done.stderr


def test_it_holds_no_server_and_no_tools_of_development(image: Root) -> None:
    programs = {path.name for path in image.path(".venv/bin").iterdir()}
    assert {"temporal", "pytest", "ruff", "mypy"} & programs == set()
    assert not image.path("tests").exists()
    assert list(image.path("workflows/__pycache__").glob("process.*.pyc"))


def test_it_has_no_rights_and_its_home_is_its_own(image: Root) -> None:
    assert said(image, "id --user --name; id --user; id --group").split() == ["surefoot", "10001", "10001"]
    said(image, "touch /data/here && rm /data/here")
    for place in (".", ".venv", "processes", "/etc", "/usr/local"):
        assert image.run(f"touch {place}/here").returncode != 0, place


def test_both_programs_start_with_what_it_holds(image: Root) -> None:
    assert "usage: worker.py" in said(image, "python worker.py --help")
    listed = said(image, "python starter.py --help")
    assert "deploy" in listed
    assert "migrate" in listed


def stamps(image: Root) -> dict[Path, int]:
    """Everything in it but what is for passing use, with when it was last changed."""
    own = (image.path("/data"), image.path("/tmp"))
    everything = (path for path in image.folder.rglob("*") if not any(path.is_relative_to(each) for each in own))
    return {path: path.lstat().st_mtime_ns for path in everything}


async def test_it_runs_as_a_worker_and_leaves_all_but_its_home_as_it_was(image: Root, client: Client) -> None:
    before = stamps(image)
    home = image_environment()["SUREFOOT_HOME"]
    await serves(client, home, image_command(), {}, place=image, before=["list --json"])
    assert stamps(image) == before


def test_it_says_where_evaluations_are_made(image: Root) -> None:
    done = image.run("python starter.py eval invoice-approval")
    assert (done.returncode, done.stdout) == (2, "")
    message = "evals/ is not here, since this is the image that runs processes; try their cases in a clone, `make eval`"
    assert " ".join(done.stderr.split()) == f"error: {message}"


def test_its_build_id_is_that_of_the_source_it_was_made_from(image: Root) -> None:
    asked = "from runtime.release import build_id; from runtime.settings import Settings; print(build_id(Settings()))"
    assert said(image, f"python -c {shlex.quote(asked)}").strip() == build_id(Settings())
