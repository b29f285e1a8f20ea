import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from dataclasses import asdict, replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from contracts.errors import ServerUnreachable, SettingsInvalid
from contracts.names import SEARCH_ATTRIBUTES
from runtime.client import connect
from runtime.server import (
    HOST,
    PORT,
    Server,
    _is_server,
    _locked,
    _start,
    embedded_server,
    find_server,
    free_port,
)
from runtime.settings import EncryptionSettings, Settings
from tests.runtime.waiting import OWNER, another_process, server_pid, until


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "a home with spaces")


async def start_run(client: Client, run: str) -> None:
    await client.start_workflow("Nothing", id=run, task_queue="nobody")


async def test_it_serves_for_the_length_of_the_block_with_its_search_attributes(settings: Settings) -> None:
    async with embedded_server(settings) as server:
        assert find_server(settings) == server
        connection = await connect(settings)
        await start_run(connection.client, "one")
        assert (await connection.client.get_workflow_handle("one").describe()).id == "one"
        for key in SEARCH_ATTRIBUTES:
            assert (await connection.client.count_workflows(f"{key.name} = 'x'")).count == 0
        assert await codec_of(server) == ""
    assert find_server(settings) is None
    assert not is_running(server.pid)


@pytest.mark.slow
async def test_runs_survive_a_restart(settings: Settings) -> None:
    async with embedded_server(settings):
        await start_run((await connect(settings)).client, "one")
    async with embedded_server(settings):
        assert (await (await connect(settings)).client.get_workflow_handle("one").describe()).id == "one"


async def test_killed_it_is_started_again_at_the_same_address_with_its_runs(
    settings: Settings, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.server.PORT", port)
    monkeypatch.setattr("runtime.server.UI_PORT", port + 1)
    async with embedded_server(settings) as server:
        client = (await connect(settings)).client
        await start_run(client, "one")
        os.kill(server.pid, signal.SIGKILL)
        again = await until(lambda: _other(settings, server), "another server")
        assert (again.address, again.ui) == (server.address, server.ui)
        assert (await client.get_workflow_handle("one").describe()).id == "one"
    assert not is_running(again.pid)


def _other(settings: Settings, server: Server) -> Server | None:
    found = find_server(settings)
    return found if found and found.pid != server.pid else None


@pytest.mark.slow
async def test_one_that_outlived_its_owner_is_adopted_and_stopped_at_the_end(settings: Settings, port: int) -> None:
    owner = await another_process(settings.home, port)
    pid = await server_pid(owner)
    owner.kill()
    await owner.wait()
    assert is_running(pid)
    async with embedded_server(settings) as server:
        assert server.pid == pid
        await start_run((await connect(settings)).client, "one")
    assert not is_running(pid)


async def test_what_another_program_answers_at_its_port_is_not_its_answer(settings: Settings) -> None:
    async with embedded_server(settings) as server:
        assert server.answers
        with socket.socket() as other:
            other.bind((HOST, 0))
            other.listen()
            assert not replace(server, address=f"{HOST}:{other.getsockname()[1]}").answers


async def test_two_starters_at_once_share_one_server(settings: Settings, port: int) -> None:
    first, second = await asyncio.gather(another_process(settings.home, port), another_process(settings.home, port))
    assert await server_pid(first) == await server_pid(second)
    await asyncio.gather(first.communicate(b""), second.communicate(b""))
    assert find_server(settings) is None


async def test_one_that_another_process_owns_is_left_running(settings: Settings, port: int) -> None:
    owner = await another_process(settings.home, port)
    pid = await server_pid(owner)
    async with embedded_server(settings) as server:
        assert server.pid == pid
    assert find_server(settings) is not None
    await owner.communicate(b"")
    assert not is_running(pid)


@pytest.mark.slow
async def test_one_that_ended_with_its_owner_is_started_again_where_it_was_by_who_still_uses_it(
    settings: Settings, port: int
) -> None:
    owner = await another_process(settings.home, port)
    await server_pid(owner)
    async with embedded_server(settings) as server:
        client = (await connect(settings)).client
        await start_run(client, "one")
        await owner.communicate(b"")
        again = await until(lambda: _other(settings, server), "another server")
        assert (again.address, again.ui) == (server.address, server.ui)
        assert (await client.get_workflow_handle("one").describe()).id == "one"
    assert not is_running(again.pid)


@pytest.mark.slow
async def test_one_that_another_process_started_again_while_its_owner_stood_still_stays_the_only_one(
    settings: Settings, port: int
) -> None:
    owner = await another_process(settings.home, port)
    pid = await server_pid(owner)
    owner.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: find_server(settings) is None, "the end of the server")
    async with embedded_server(settings) as server:
        assert server.pid != pid
        owner.send_signal(signal.SIGCONT)
        await owner.communicate(b"")
        assert find_server(settings) == server
    assert not is_running(server.pid)


@pytest.mark.slow
async def test_one_that_died_while_its_owner_stood_still_is_started_again_by_who_uses_it(
    settings: Settings, port: int
) -> None:
    owner = await another_process(settings.home, port)
    pid = await server_pid(owner)
    async with embedded_server(settings) as server:
        owner.send_signal(signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        try:
            again = await until(lambda: _other(settings, server), "another server", 20)
        finally:
            owner.send_signal(signal.SIGCONT)
            await owner.communicate(b"")
        assert find_server(settings) == again


async def test_one_that_cannot_be_recorded_is_not_left_running_and_is_started_again_once_it_can_be(
    settings: Settings, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.server.PORT", port)
    monkeypatch.setattr("runtime.server.UI_PORT", port + 1)
    async with embedded_server(settings) as server:
        obstacle = settings.home / f"server.json.{os.getpid()}"
        obstacle.mkdir()
        with capture_logs() as said:
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: [each for each in said if "could not be started" in each["event"]], "a word of it", 20)
        assert said[-1]["reason"].startswith(f"{settings.home}: Is a directory; state is kept there")
        await until(lambda: not find_all(settings), "the end of what is not recorded", 20)
        obstacle.rmdir()
        again = await until(lambda: _other(settings, server), "another server")
        assert find_all(settings) == [again.pid]


def find_all(settings: Settings) -> list[int]:
    """Every process that serves this home folder, be it recorded or not."""
    found = []
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if os.fsencode(settings.home / "temporal.db") in arguments.read_bytes().split(b"\0"):
                found.append(int(arguments.parent.name))
    return found


async def test_one_that_another_process_started_again_elsewhere_is_told_of(settings: Settings) -> None:
    async with embedded_server(settings) as server:
        with capture_logs() as said:
            async with _locked(settings.home / "server.lock"):
                os.kill(server.pid, signal.SIGKILL)
                other = await _start(settings, free_port(0), free_port(0))
            await until(lambda: said, "a word of it", 20)
    assert (said[0]["log_level"], said[0]["was"], said[0]["address"]) == ("error", server.address, other.address)


async def test_one_that_does_not_end_when_it_is_told_to_has_ended_when_its_owner_lets_go_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.server.STOP_SECONDS", 0.5)
    async with embedded_server(settings) as server:
        os.kill(server.pid, signal.SIGSTOP)
    assert not is_running(server.pid)


async def test_a_taken_port_is_replaced_by_a_free_one(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, PORT))
            taken.listen()
        except OSError:  # somebody else has it, which does as well
            pass
        async with embedded_server(settings) as server:
            assert server.address != f"{HOST}:{PORT}"
            assert (await connect(settings)).address == server.address


async def test_one_whose_port_another_program_takes_as_it_starts_is_started_elsewhere(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as others:

        def taken_at_once(usual: int) -> int:
            port = free_port(usual)
            if len(looked) < 2:
                others.enter_context(socket.create_server((HOST, port)))
            looked.append(port)
            return port

        looked: list[int] = []
        monkeypatch.setattr("runtime.server.free_port", taken_at_once)
        async with embedded_server(settings) as server:
            assert server.ports == (looked[2], looked[3])
            assert (await connect(settings)).address == server.address


async def test_one_that_was_killed_with_its_owner_is_started_where_it_was_though_its_ports_are_let_go_late(
    settings: Settings, port: int
) -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    ports = (port, port + 1)
    dying = [socket.create_server((HOST, each)) for each in ports]
    write_record(settings, process.pid, *ports)
    for each in dying:
        asyncio.get_running_loop().call_later(0.5, each.close)
    async with embedded_server(settings) as server:
        assert server.ports == ports


KILLED_WHILE_IT_STARTS = (
    """
import os, signal
import runtime.server
runtime.server.Server.answers = property(lambda server: os.kill(os.getpid(), signal.SIGKILL))
"""
    + OWNER
)


@pytest.mark.slow
async def test_one_whose_owner_was_killed_as_it_started_it_is_waited_for_and_adopted(
    settings: Settings, port: int
) -> None:
    owner = await another_process(settings.home, port, KILLED_WHILE_IT_STARTS)
    await owner.wait()
    pid = json.loads((settings.home / "server.json").read_text())["pid"]
    async with embedded_server(settings) as server:
        assert server.pid == pid
    assert not is_running(pid)


@pytest.mark.slow
async def test_one_that_was_started_this_moment_is_seen_be_the_machine_busy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = Path(shutil.which("cat") or "")
    monkeypatch.setattr("runtime.server.temporal_binary", lambda: waiter)
    busy = [await asyncio.create_subprocess_exec("sh", "-c", "while :; do :; done") for _ in range(6)]
    seen = []
    for _ in range(200):
        process = await asyncio.create_subprocess_exec(
            waiter, "-", settings.home / "temporal.db", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        seen.append(_is_server(process.pid, settings))
        process.kill()
        await process.wait()
    for process in busy:
        process.kill()
        await process.wait()
    assert all(seen), f"{seen.count(False)} of {len(seen)} were not"


async def test_one_that_runs_and_does_not_answer_is_said_and_gets_no_second_beside_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.server.START_SECONDS", 0.2)
    idle = [sys.executable, "-c", "import sys; sys.stdin.read()", str(settings.home / "temporal.db")]
    process = await asyncio.create_subprocess_exec(*idle, stdin=asyncio.subprocess.PIPE)
    write_record(settings, process.pid, free_port(0))
    with pytest.raises(ServerUnreachable, match="runs and does not answer"):
        async with embedded_server(settings):
            pass
    await process.communicate(b"")
    assert not (settings.home / "server.log").exists()


def test_a_free_port_is_kept() -> None:
    port = free_port(0)
    assert free_port(port) == port


async def test_a_record_of_a_dead_process_is_ignored(settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    with socket.create_server((HOST, 0)) as listening:
        write_record(settings, process.pid, listening.getsockname()[1])
        assert find_server(settings) is None


async def test_a_record_whose_process_number_now_belongs_to_another_program_is_ignored(settings: Settings) -> None:
    with socket.create_server((HOST, 0)) as listening:
        write_record(settings, os.getpid(), listening.getsockname()[1])
        assert find_server(settings) is None


@pytest.mark.parametrize("text", ["", "[]", '{"address": "x"}', "{"])
def test_a_damaged_record_is_ignored(settings: Settings, text: str) -> None:
    settings.home.mkdir()
    (settings.home / "server.json").write_text(text)
    assert find_server(settings) is None


def write_record(settings: Settings, pid: int, port: int, ui_port: int = 1) -> None:
    settings.home.mkdir()
    server = Server(address=f"{HOST}:{port}", ui=f"http://{HOST}:{ui_port}", pid=pid, owner=pid)
    (settings.home / "server.json").write_text(json.dumps(asdict(server)))


async def test_one_that_cannot_start_is_said_with_its_log(settings: Settings) -> None:
    (settings.home / "temporal.db").mkdir(parents=True)
    with pytest.raises(ServerUnreachable, match=r"server\.log"):
        async with embedded_server(settings):
            pass


async def test_a_home_that_cannot_be_made_is_said_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match="SUREFOOT_HOME"):
        async with embedded_server(Settings(home=tmp_path / "file" / "home")):
            pass


async def test_temporal_web_is_told_of_the_codec_endpoint_when_there_are_keys(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, encryption=EncryptionSettings(keys={"k": "env:KEY"}, codec_port=4321))
    async with embedded_server(settings) as server:
        assert await codec_of(server) == "http://127.0.0.1:4321"


async def codec_of(server: Server) -> str:
    """The endpoint that Temporal Web asks."""
    told = json.loads(await asyncio.to_thread(_read, f"{server.ui}/api/v1/settings"))
    endpoint: str = told["Codec"]["Endpoint"]
    return endpoint


def _read(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:  # noqa: S310
        return bytes(answer.read())
