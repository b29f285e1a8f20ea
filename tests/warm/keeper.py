"""Keeps all that `starter.py` and `worker.py` import in memory, and forks itself for each call of them.

Each call is a process of its own with the caller's arguments, streams, folder and environment, in which the program
runs as `__main__`. It is killed when its caller is gone, and with the keeper's standard input everything ends.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import NoReturn

READY = "ready"


def warm_up() -> None:
    """What workers import, read or work out only when they come to it, be it for each of them or for every call."""
    import genai_prices.data_snapshot
    import httpx2
    from temporalio.worker._worker import load_default_build_id

    importlib.import_module("anyio._backends._asyncio")
    httpx2.AsyncHTTPTransport()
    genai_prices.data_snapshot.get_snapshot()
    load_default_build_id()  # a hash of all code, the same for all of them
    gc.collect()
    gc.freeze()  # a collection would write to memory that all of them share, and copy it


def _import_all() -> None:
    importlib.import_module("worker")
    for name in ("cli", "runtime", "api"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(found.name)
    warm_up()


class Keeper:
    """`callers`: by the process that runs for them."""

    def __init__(self, address: str) -> None:
        self.callers: dict[int, socket.socket] = {}
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen()
        self._wakes, self._woken = socket.socketpair()
        for each in (self._wakes, self._woken):
            each.setblocking(False)

    def keep(self) -> None:
        """Until standard input ends."""
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _is_told)
        with selectors.DefaultSelector() as selector:
            for each in (self._listening, self._wakes, sys.stdin):
                selector.register(each, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if sys.stdin in ready:
                    break
                if self._wakes in ready:
                    self._wakes.recv(4096)
                    for line in self._ended():
                        selector.unregister(line)
                        line.close()
                for pid, line in self.callers.items():
                    if line in ready:  # the caller says nothing more, and so is gone
                        os.kill(pid, signal.SIGKILL)
                if self._listening in ready:
                    selector.register(self._take(), selectors.EVENT_READ)
        for pid in self.callers:
            os.kill(pid, signal.SIGKILL)

    def _ended(self) -> list[socket.socket]:
        """Those whose process has ended; they are told."""
        told = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                line = self.callers.pop(pid)
                with contextlib.suppress(OSError):
                    line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                told.append(line)
        return told

    def _take(self) -> socket.socket:
        line, _ = self._listening.accept()
        _, streams, _, _ = socket.recv_fds(line, 1, 3)
        with line.makefile("r") as asked:
            words, folder, environment = json.loads(asked.readline())
        pid = os.fork()
        if pid == 0:
            _be(words, folder, environment, streams)
        for each in streams:
            os.close(each)
        self.callers[pid] = line
        line.sendall(f"{pid}\n".encode())
        return line


def _is_told(_number: int, _frame: FrameType | None) -> None:
    """The number is written to the wakeup socket."""


def _be(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> NoReturn:
    """The program, to its end."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for target, source in enumerate(streams):
            os.dup2(source, target)
        os.closerange(3, 1024)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = words
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - they stay open to the end
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stdout.reconfigure(write_through=bool(environment.get("PYTHONUNBUFFERED")))
        runpy.run_path(words[0], run_name="__main__")
        status = 0
    except SystemExit as asked:
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:  # noqa: BLE001 - it is told as Python tells it
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)


if __name__ == "__main__":
    _import_all()
    keeper = Keeper(sys.argv[1])
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    keeper.keep()
