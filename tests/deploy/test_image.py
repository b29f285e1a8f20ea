"""The image's steps, done in an empty folder, make something that runs as a worker: with nothing of development in it.

No engine builds images here, so each step is done by the program it names, on this machine. Packages come out of the
cache that set-up fills; where one is not there, `make clean setup`.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.deploy.files import ROOT, image_command, image_environment, instructions
from tests.deploy.serving import serves

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

UV = ROOT / ".uv" / "bin" / "uv"


def run(command: str, folder: Path, **more: str) -> str:
    environment = {"PATH": f"{UV.parent}:/usr/bin:/bin", "HOME": str(folder.parent), "LC_ALL": "C.UTF-8", **more}
    done = subprocess.run(
        ["sh", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def installing() -> list[str]:
    """The commands that install packages."""
    return [" ".join(part.split()) for part in instructions("RUN")[0].split("&&")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the image, as its instructions make it."""
    if not UV.exists():
        pytest.skip("uv is not in .uv; make setup")
    folder = tmp_path_factory.mktemp("image") / "surefoot"
    folder.mkdir()
    for line in instructions("COPY"):
        if line.startswith("--from"):
            continue
        *names, target = line.split()
        for name in names:
            place = folder / target / Path(name).name if target == "./" else folder / target
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
    _, user, compiled = instructions("RUN")
    pip, uv = installing()
    assert pip.startswith("pip install --no-cache-dir --require-hashes --no-deps --requirement uv.txt")
    uv = uv.replace("--no-cache ", "--offline ").replace("/usr/local/bin/python", sys.executable)
    run(uv, folder, WITH="", UV_CACHE_DIR=str(ROOT / ".uv" / "cache"))
    assert "useradd --uid 10001" in user
    run(compiled, folder, PATH=f"{folder / '.venv' / 'bin'}:/usr/bin:/bin")
    return folder


def test_groups_of_packages_are_named_as_the_page_names_them(tmp_path: Path) -> None:
    (said,) = set(re.findall(r'--build-arg WITH="(.*?)"', (ROOT / "docs" / "cluster.md").read_text()))
    (tmp_path / "uv").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    _, uv = installing()
    told = [run(uv, tmp_path, PATH=f"{tmp_path}:/usr/bin:/bin", WITH=groups) for groups in (said, "")]
    assert [re.findall(r"--group (\S+)", each) for each in told] == [said.split(), []]
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert set(said.split()) <= known.keys()


def test_it_holds_no_server_and_no_tools_of_development(image: Path) -> None:
    programs = {path.name for path in (image / ".venv" / "bin").iterdir()}
    assert {"temporal", "pytest", "ruff", "mypy"} & programs == set()
    assert not (image / "tests").exists()
    assert list((image / "workflows" / "__pycache__").glob("process.*.pyc"))


def test_both_programs_start_with_what_it_holds(image: Path) -> None:
    python = shlex.quote(str(image / ".venv" / "bin" / "python"))
    assert "usage: worker.py" in run(f"{python} worker.py --help", image)
    listed = run(f"{python} starter.py --help", image)
    assert "deploy" in listed
    assert "migrate" in listed


def stamps(folder: Path) -> dict[Path, int]:
    """Everything in it, with when it was last changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


async def test_it_runs_as_a_worker_and_leaves_its_folder_as_it_was(image: Path, client: Client, tmp_path: Path) -> None:
    before = stamps(image)
    given = {name: value for name, value in image_environment().items() if value}
    python = image / ".venv" / "bin" / "python"
    around = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    listing = ["list --json"]
    await serves(client, tmp_path, image_command(), given, folder=image, python=python, around=around, before=listing)
    # Its user may write nowhere but in the home folder.
    assert stamps(image) == before


def test_it_says_where_evaluations_are_made(image: Path) -> None:
    command = [str(image / ".venv" / "bin" / "python"), "starter.py", "eval", "invoice-approval"]
    home = {"SUREFOOT_HOME": str(image.parent / "home")}
    done = subprocess.run(command, cwd=image, env=home, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    said = "evals/ is not here, since this is the image that runs processes; try their cases in a clone, `make eval`"
    assert " ".join(done.stderr.split()) == f"error: {said}"


def test_its_build_id_is_that_of_the_source_it_was_made_from(image: Path) -> None:
    asked = "from runtime.release import build_id; from runtime.settings import Settings; print(build_id(Settings()))"
    python = shlex.quote(str(image / ".venv" / "bin" / "python"))
    made = run(f"{python} -c {shlex.quote(asked)}", image)
    here = run(f"{shlex.quote(sys.executable)} -c {shlex.quote(asked)}", ROOT)
    assert made == here
