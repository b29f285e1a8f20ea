"""Workers that are born in a tenth of a second: forked from a process that has imported all that a worker imports.

Each is a process of its own, with an environment of its own, in which `worker.run()` runs as in `worker.py`: killed,
stopped and gone on as any other. A test of the tests plants a bug in it first (`tests/chaos/planted.py`).
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Self

from runtime.catalog import Catalog
from tests.business import PROJECT
from tests.chaos.haste import hasten
from tests.warm.keeper import warm_up

CONTINUE_AFTER = "CHAOS_CONTINUE_AFTER"
"""In a worker's environment: events after which its server suggests to continue as new."""

PROCESSES = "CHAOS_PROCESSES"
"""In a worker's environment: those that its company has, separated by spaces. Each topic that one of them starts of is
four more workflows, which every new worker of the world has to replay."""

PORT = "CHAOS_PORT"
"""In a worker's environment: where its server is, with Temporal Web on the next one. A world whose server is dead for a
moment must not find another world's there."""


class Nursery:
    """`worker(environment, log)` gives the process id of a new worker."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def worker(self, environment: dict[str, str], log: Path, planted: str | None = None) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {"environment": environment, "log": str(log), "planted": planted}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _main() -> None:
    import worker

    catalog = Catalog.load([PROJECT / "processes"])
    for process in catalog.names:
        catalog.definition(process)
    warm_up()
    vars(worker)["Catalog"] = SimpleNamespace(load=lambda folders: _company(catalog))

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that those that end are gone
    born: list[tuple[int, Path]] = []
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_a_worker(wanted)
        born.append((pid, Path(wanted["environment"]["SUREFOOT_HOME"])))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    _leave_nothing(born)


def _company(catalog: Catalog) -> Catalog:
    wanted = os.environ[PROCESSES].split()
    return replace(catalog, files={name: file for name, file in catalog.files.items() if name in wanted})


def _leave_nothing(born: list[tuple[int, Path]]) -> None:
    """Kill what the tests have left, be it because they were killed themselves."""
    left = [(pid, __spec__.name) for pid, _ in born]
    for home in {home for _, home in born}:
        with contextlib.suppress(OSError, ValueError):
            left.append((json.loads((home / "server.json").read_text())["pid"], f"{home}"))
    for pid, word in left:
        # The number of a process that is gone may be somebody else's by now.
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _be_a_worker(wanted: dict[str, object]) -> None:
    import worker
    from tests.chaos import planted

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(str(wanted["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(wanted["environment"])  # type: ignore[call-overload]  # a mapping of texts, from JSON
    sys.argv = ["worker.py"]
    hasten()
    _in_its_world(os.environ)
    if wanted["planted"] is not None:
        planted.plant(str(wanted["planted"]))
    status = 1
    try:
        status = worker.run()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _in_its_world(environment: Mapping[str, str]) -> None:
    """With a server at the world's own port."""
    import runtime.server

    if events := environment.get(CONTINUE_AFTER):
        options = [*runtime.server.server_options(), "--dynamic-config-value"]
        options.append(f"limit.historyCount.suggestContinueAsNew={events}")
        runtime.server.server_options = lambda: options
    runtime.server.PORT = int(environment[PORT])
    runtime.server.UI_PORT = runtime.server.PORT + 1


if __name__ == "__main__":
    _main()
