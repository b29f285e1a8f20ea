"""`make setup` says what is missing and which way out there is, before it fetches or writes anything."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.project import ROOT

SET_UP_FROM = (".ci/setup", ".ci/uv.txt", "pyproject.toml", "uv.lock")
NEEDED = ("sh", "make", "dirname", "cat", "cksum", "cut", "sed", "rm", "mkdir", "mv")
DOWNLOAD = "mkdir .uv/wheels; : >.uv/wheels/uv-1-any.whl"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that set-up reads, in a path with a space, and an empty folder for programs."""
    clone = tmp_path / "a clone"
    clone.mkdir()
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, clone)
    (tmp_path / "programs").mkdir()
    for name in NEEDED:
        (tmp_path / "programs" / name).symlink_to(shutil.which(name) or name)
    return clone


def set_up(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "setup", *arguments],
        cwd=clone,
        env={"PATH": str(clone.parent / "programs"), "HOME": str(clone.parent / "nowhere"), "LC_ALL": "C"},
        executable=shutil.which("make"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def program(clone: Path, name: str, script: str) -> None:
    path = clone.parent / "programs" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def untouched(clone: Path) -> bool:
    written = (clone / ".venv", clone / ".uv" / "bin", clone.parent / "nowhere")
    return not any(path.exists() for path in written)


def test_without_a_python_it_says_how_to_get_one(clone: Path) -> None:
    done = set_up(clone)
    assert done.returncode != 0
    assert "no Python 3.11 or newer on PATH" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr
    assert untouched(clone)


def test_an_old_python_is_named_with_its_version(clone: Path) -> None:
    program(clone, "python3", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    done = set_up(clone)
    assert done.returncode != 0
    assert "python3 here: Python 3.9.2" in done.stderr
    assert untouched(clone)


def test_a_newer_python_under_another_name_is_found(clone: Path) -> None:
    program(clone, "python3", "exit 1")
    program(clone, "python3.13", 'case "$*" in *ensurepip*|*pip*) exit 1;; *"%d.%d"*) echo 3.13;; esac')
    done = set_up(clone)
    assert "programs/python3.13 has neither venv with ensurepip nor pip" in done.stderr
    assert "apt install python3.13-venv" in done.stderr
    assert done.returncode != 0
    assert untouched(clone)


def test_a_python_that_was_named_is_not_replaced_by_another(clone: Path) -> None:
    program(clone, "python3", "exit 0")
    done = set_up(clone, "PYTHON=/opt/no python")
    assert done.returncode != 0
    assert "PYTHON=/opt/no python is not a Python 3.11 or newer" in done.stderr
    assert untouched(clone)


def prepared(clone: Path, groups: str = "") -> None:
    """As set-up leaves it."""
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(shutil.which("true") or "/bin/true")
    read = b"".join((clone / name).read_bytes() for name in SET_UP_FROM)
    wanted = subprocess.run(["cksum"], input=read, capture_output=True, check=True).stdout.decode().strip()
    (clone / ".venv" / ".prepared-from").write_text(f"{wanted}{groups}\n")
    (clone / ".uv" / "wheels").mkdir(parents=True)
    (clone / ".uv" / "wheels" / "uv-0-any.whl").touch()


@pytest.fixture
def uv(clone: Path) -> Path:
    """A uv that notes what it is told."""
    version = re.search(r"^uv==([\d.]+)", (ROOT / ".ci" / "uv.txt").read_text(), re.MULTILINE)
    assert version
    told = clone.parent / "told"
    script = f'[ "$1" = --version ] && echo "uv {version[1]}" || echo "$@" >> "{told}"'
    program(clone, "uv", script)
    (clone / ".uv" / "bin").mkdir(parents=True)
    (clone / ".uv" / "bin" / "uv").symlink_to(clone.parent / "programs" / "uv")
    program(clone, "python3", 'case "$1" in --version) echo Python 3.11.9;; esac')
    return told


def test_packages_that_were_asked_for_once_stay(clone: Path, uv: Path) -> None:
    prepared(clone, " browser")
    assert set_up(clone).returncode == 0
    assert not uv.exists(), "nothing changed"
    done = set_up(clone, "WITH=s3 browser")
    assert done.returncode == 0, done.stderr
    assert uv.read_text().strip().endswith("--group browser --group s3")
    uv.unlink()
    assert set_up(clone).returncode == 0
    assert not uv.exists()
    with (clone / "uv.lock").open("a") as lock:
        lock.write("\n")
    assert set_up(clone).returncode == 0
    assert uv.read_text().strip().endswith("--group browser --group s3")


def test_when_nothing_changed_nothing_is_done(clone: Path) -> None:
    prepared(clone)
    done = set_up(clone)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    with (clone / "uv.lock").open("a") as lock:
        lock.write("\n")
    changed = set_up(clone)
    assert changed.returncode != 0, "a changed lock must be looked at, and here there is no Python to do it with"


def without_package(clone: Path, download: str) -> None:
    """As set-up left it that did not keep uv's package, with Pythons whose pip does this to download it."""
    prepared(clone)
    shutil.rmtree(clone / ".uv" / "wheels")
    program(clone, "python3", f'case "$*" in *ensurepip*) exit 1;; *"pip download"*) {download};; esac')
    (clone / ".venv" / "bin" / "python").unlink()
    (clone / ".venv" / "bin" / "python").symlink_to(clone.parent / "programs" / "python3")


def test_the_package_of_uv_is_fetched_when_it_alone_is_not_there(clone: Path, uv: Path) -> None:
    without_package(clone, DOWNLOAD)
    done = set_up(clone)
    assert (done.returncode, done.stderr) == (0, "")
    assert "for the tests that make the image" in done.stdout
    assert (clone / ".uv" / "wheels" / "uv-1-any.whl").exists()
    assert set_up(clone).stdout == ""
    assert not uv.exists(), "nothing else is done"


def test_without_an_index_what_is_there_works_on(clone: Path) -> None:
    without_package(clone, "exit 1")
    done = set_up(clone)
    assert done.returncode == 0
    assert "could not be fetched" in done.stderr
    assert "only the tests of the image need it" in done.stderr


def test_the_package_of_uv_is_fetched_also_where_packages_changed(clone: Path, uv: Path) -> None:
    without_package(clone, DOWNLOAD)
    (clone / ".venv" / ".prepared-from").write_text("something else")
    done = set_up(clone)
    assert done.returncode == 0, done.stderr
    assert (clone / ".uv" / "wheels" / "uv-1-any.whl").exists()
    assert uv.read_text().startswith("sync")


def test_what_is_fetched_is_held_to_its_hash() -> None:
    pinned = (ROOT / ".ci" / "uv.txt").read_text()
    assert len(re.findall(r"^uv==[\d.]+ ", pinned, re.MULTILINE)) == 1
    assert "--hash=sha256:" in pinned
    lock = (ROOT / "uv.lock").read_text()
    assert lock.count("{ url = ") == lock.count('hash = "sha256:')
