"""What an engine would do with the Dockerfile, without one: its instructions, in order, each stage in an empty root.

A command in a root is run by `chroot`, in a mount namespace of its own, so that nothing stays mounted: `/usr` and this
machine's Python are there to be read, `/usr/local`, `/etc` and all else are the root's own; a Python that lies in
`/usr/local` is there as `/python`. Packages come out of what set-up fetched, by the commands as written; only uv is not
told `--no-cache`, since its cache is where they are.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.deploy.files import DOCKERFILE, ROOT
from tests.lacking import lacking

PYTHON = Path(sys.base_prefix)
MOVED = Path("/python")
BOUND = MOVED if PYTHON.is_relative_to("/usr/local") else PYTHON
"""Where it is in a root."""
FETCHED = {"wheels": ROOT / ".uv" / "wheels", "cache": ROOT / ".uv" / "cache"}
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/fetched/wheels",
    "UV_OFFLINE": "1",
    "UV_CACHE_DIR": "/fetched/cache",
}
BASE = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""The environment of `python:*-slim`."""

ENTER = """
bind() { mount --bind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; }
root=$1 python=$2 bound=$3 fetched=$4 user=$5
shift 5
bind /usr /usr
mount --bind "$root/local" "$root/usr/local"
case $python in /usr) ;; *) bind "$python" "$bound" ;; esac
for each in wheels cache; do mount --bind "$fetched/$each" "$root/fetched/$each"; done
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
exec chroot --userspec "$user" "$root" "$@"
"""


@dataclass
class Root:
    """One stage. `user`, `workdir`, `environment`: what USER, WORKDIR and ENV made of them so far."""

    folder: Path
    user: str = "0:0"
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=lambda: dict(BASE))

    def argv(self, command: Sequence[str], given: Mapping[str, str]) -> list[str]:
        """The command in here, as the stage's user, with its environment and what is given besides."""
        enter = ["unshare", "--mount", "sh", "-euc", ENTER, "enter"]
        places = [str(self.folder), str(PYTHON), str(BOUND), str(ROOT / ".uv"), self.user]
        variables = [f"{name}={value}" for name, value in {**self.environment, **given}.items()]
        return [*enter, *places, "env", "-i", f"--chdir={self.workdir}", *variables, *command]

    def run(self, command: str, **given: str) -> "subprocess.CompletedProcess[str]":
        """As RUN runs it."""
        argv = self.argv(["/bin/sh", "-c", command], given)
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def path(self, name: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.folder / os.path.normpath(f"{self.workdir}/{name}" if name[0] != "/" else name).lstrip("/")


def base_image(folder: Path) -> Root:
    """As much of `python:*-slim` as the steps can see: Debian, and Python with pip in /usr/local."""
    if os.geteuid() != 0:
        lacking("only root may do the image's steps in a root folder of their own")
    if not list(FETCHED["wheels"].glob("uv-*.whl")):
        lacking("uv's package is not in .uv/wheels; make setup fetches it")
    for name in ("usr", "local", "etc", "root", "tmp", "var", "dev", "proc", "fetched/wheels", "fetched/cache"):
        (folder / name).mkdir(parents=True)
    (folder / BOUND.relative_to("/")).mkdir(parents=True, exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("passwd", "group"):
        shutil.copy(f"/usr/share/base-passwd/{name}.master", folder / "etc" / name)
    shutil.copy("/etc/login.defs", folder / "etc")
    (folder / "etc" / "shadow").touch()
    (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    # One whose library is not found beside it is found as it is in /usr/local/lib, and not that of /usr in its place.
    (folder / "etc" / "ld.so.conf").write_text(f"{MOVED}/lib\n")
    made = Root(folder)
    if (entered := made.run("ldconfig")).returncode:
        lacking(f"no root folder can be entered here: {entered.stderr.strip()}")
    installed = made.run(f"{BOUND}/bin/python3 -m venv /usr/local")
    assert installed.returncode == 0, installed.stderr
    return made


def build(folder: Path) -> dict[str, Root]:
    """Every stage of the Dockerfile by its name, the last one as `image`.

    Raises:
        AssertionError: a step failed, with what it printed.
    """
    at = base = base_image(folder / "base")
    stages: dict[str, Root] = {}
    arguments: dict[str, str] = {}
    for line in filter(None, map(str.strip, DOCKERFILE)):
        name, _, words = line.partition(" ")
        if name == "FROM":
            stage = words.partition(" AS ")[2] or "image"
            at = Root(shutil.copytree(base.folder, folder / stage, symlinks=True))
            stages[stage], arguments = at, {}
        elif name == "WORKDIR":
            at.workdir = words
            at.path(".").mkdir()
        elif name == "COPY":
            _copy(words.split(), stages, at)
        elif name == "ARG":
            argument, _, default = words.partition("=")
            arguments[argument] = default
        elif name == "ENV":
            pairs = Template(words).substitute({**at.environment, **arguments}).split()
            at.environment |= dict(pair.split("=", 1) for pair in pairs)
        elif name == "RUN":
            done = at.run(words.replace(" --no-cache ", " "), HOME="/root", **arguments, **OFFLINE)
            assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        elif name == "USER":
            entry = next(
                line for line in at.path("/etc/passwd").read_text().splitlines() if line.startswith(f"{words}:")
            )
            at.user = ":".join(entry.split(":")[2:4])
        else:
            assert name in ("#", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"), f"nobody does {name} here"
    return stages


def _copy(words: list[str], stages: Mapping[str, Root], at: Root) -> None:
    if words[0].startswith("--from="):
        stage, name, target = stages[words[0].removeprefix("--from=")], words[1], at.path(words[2])
        # Both are on one disk, and neither is changed.
        shutil.copytree(stage.path(name), target, symlinks=True, copy_function=os.link)
        return
    *names, target_folder = words
    for name in names:
        found, place = ROOT / name, at.path(target_folder)
        if found.is_dir():
            shutil.copytree(found, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(found, place / found.name if target_folder == "./" else place)
