"""PostgreSQL and Redis as real servers of a test, from the machine's own programs, and each back end on its server."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import open_berth

PASSWORD = "correct-horse-battery"
START_SECONDS = 30.0


@dataclass
class Server:
    """`url`: as `conversations.store` wants it, without the password."""

    url: str
    password: str
    restart: Callable[[], None]


def needs(kind: str) -> None:
    """Skip the test, saying what to install, when this machine lacks the server or the environment its client."""
    package, group, program, install = {
        "postgresql": ("psycopg", "postgres", postgres_program("initdb"), "postgresql"),
        "redis": ("redis", "redis", shutil.which("redis-server"), "redis-server"),
        "s3": ("aioboto3", "s3", "none", ""),
    }.get(kind, ("sqlite3", "", "none", ""))
    if find_spec(package) is None:
        pytest.skip(f"make setup WITH={group}")
    if program is None:
        pytest.skip(f"no {install} on this machine (Debian, Ubuntu: apt install {install})")


def postgres_program(name: str) -> str | None:
    """Debian keeps it out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgres_server() -> Iterator[Server]:
    """PostgreSQL with a database of its own, in a folder of its own."""
    # Its lock file's name has to fit in a socket's path, which pytest's folders do not.
    with open_berth() as port, TemporaryDirectory(prefix="surefoot-pg-") as name:
        folder = Path(name)
        password = folder / "password"
        password.write_text(PASSWORD)
        as_user: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            as_user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--"]
            for path in (folder, password):
                shutil.chown(path, "nobody", "nogroup")
        data = folder / "data"
        initdb = [
            str(postgres_program("initdb")),
            "-D",
            str(data),
            "-U",
            "surefoot",
            "--auth=scram-sha-256",
            "--no-sync",
        ]
        subprocess.run([*as_user, *initdb, f"--pwfile={password}"], cwd=folder, check=True, capture_output=True)
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        command = [*as_user, postgres_program("postgres"), "-D", data]
        command += [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        ready = [str(postgres_program("pg_isready")), "-h", "127.0.0.1", "-p", str(port)]
        with running([str(part) for part in command], folder, lambda: succeeds(ready)) as restart:
            yield Server(f"postgresql://surefoot@127.0.0.1:{port}/postgres", PASSWORD, restart)


@contextmanager
def redis_server() -> Iterator[Server]:
    """Redis that keeps nothing on disk."""
    with open_berth() as port, TemporaryDirectory(prefix="surefoot-redis-") as name:
        command = [str(shutil.which("redis-server")), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--requirepass", PASSWORD]
        with running(command, Path(name), lambda: answers(port)) as restart:
            yield Server(f"redis://127.0.0.1:{port}/0", PASSWORD, restart)


@contextmanager
def running(command: list[str], folder: Path, ready: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    """The server for the length of the block; what it gives stops it and starts it again."""
    log = (folder / "log").open("ab")

    def start() -> "subprocess.Popen[bytes]":
        started = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not ready():
            assert started.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, f"{command[0]} does not answer"
            time.sleep(0.02)
        return started

    def stop() -> None:
        processes[-1].send_signal(signal.SIGINT)  # PostgreSQL waits for its clients when it gets SIGTERM
        processes[-1].wait(START_SECONDS)

    def restart() -> None:
        stop()
        processes.append(start())

    processes = [start()]
    try:
        yield restart
    finally:
        stop()
        log.close()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
