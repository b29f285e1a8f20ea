"""What watches a worker from outside is told: alive, ready, and what the SDK measures."""

import asyncio
import socket
import struct
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from contracts.errors import SettingsInvalid
from runtime.client import connect
from runtime.health import EVERYWHERE, health, measuring
from runtime.server import temporal_binary
from runtime.settings import Settings
from tests.runtime.waiting import until
from tests.servers import UP_WITHIN, open_berth


async def get(port: int, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(ask, port, path)


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def head(port: int, path: str) -> list[str]:
    """The lines that are sent, all of them: a client of HTTP would leave a body unread."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        with line.makefile(newline="") as answer:
            return answer.read().removesuffix("\r\n").split("\r\n")


async def test_a_worker_whose_loop_is_stuck_is_not_alive(client: Client, port: int) -> None:
    async with health(Settings(health_port=port), client, lambda: True):
        with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as other:
            patch.setattr("runtime.health.ANSWER_SECONDS", 0.2)
            assert other.submit(ask, port, "/livez").result()[0] == 503  # which this loop waits for, and nothing else
        assert await get(port, "/livez") == (200, "OK\n")


async def test_a_probe_may_ask_for_the_head_alone_and_with_a_query(client: Client, port: int) -> None:
    async with health(Settings(health_port=port), client, lambda: False):
        assert await get(port, "/livez?x=1") == (200, "OK\n")
        for path, status in (("/livez", 200), ("/readyz?x=1", 503), ("/else", 404)):
            first, *_, last = await asyncio.to_thread(head, port, path)
            assert first.split()[1] == f"{status}"
            assert last == ""  # the empty line that ends a head, and nothing behind it


async def test_a_probe_that_waits_no_longer_leaves_nothing_in_the_log(
    client: Client, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async with health(Settings(health_port=port), client, lambda: True):
        gone = socket.create_connection(("127.0.0.1", port), timeout=10)
        gone.sendall(b"GET /livez HTTP/1.0\r\n\r\n")  # which is answered by this loop, and not before the next line
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the line is cut, not ended
        gone.close()
        assert await get(port, "/livez") == (200, "OK\n")
        await until(
            lambda: not any("process_request" in each.name for each in threading.enumerate()), "the answers' end"
        )
    assert capfd.readouterr().err == ""


async def test_a_worker_is_not_ready_whose_namespace_is_not_there(client: Client, port: int) -> None:
    elsewhere = Client(client.service_client, namespace="nowhere")
    async with health(Settings(health_port=port), elsewhere, lambda: True):
        assert (await get(port, "/livez"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 503


async def test_a_worker_is_alive_and_is_ready_while_it_is_at_work_and_its_server_answers(port: int) -> None:
    with open_berth() as berth:
        async with await WorkflowEnvironment.start_local(
            port=berth, dev_server_existing_path=str(temporal_binary()), dev_server_startup_timeout=UP_WITHIN
        ) as environment:
            at_work = False
            async with health(Settings(health_port=port), environment.client, lambda: at_work):
                assert await get(port, "/livez") == (200, "OK\n")
                assert (await get(port, "/readyz"))[0] == 503
                at_work = True
                assert await get(port, "/readyz") == (200, "OK\n")
                assert (await get(port, "/else"))[0] == 404
                await environment.shutdown()
                assert (await get(port, "/readyz"))[0] == 503
                assert (await get(port, "/livez"))[0] == 200
            with pytest.raises(OSError, match="refused"):
                await get(port, "/livez")


async def test_who_connects_and_asks_nothing_is_left(
    client: Client, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.health.ASK_SECONDS", 0.1)
    async with health(Settings(health_port=port), client, lambda: True):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_the_sdk_measures_what_a_connection_does(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    settings = Settings(home=tmp_path, metrics_port=port)
    connection = await connect(settings, measuring(settings))
    status, text = await get(port, "/metrics")
    assert status == 200
    assert "temporal_request_latency_seconds_bucket" in text
    await connection.close()


async def test_a_port_that_is_taken_is_named(client: Client) -> None:
    with socket.create_server((EVERYWHERE, 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(SettingsInvalid, match=f"SUREFOOT_HEALTH_PORT={port}"):
            async with health(Settings(health_port=port), client, bool):
                pass
        with pytest.raises(SettingsInvalid, match=f"SUREFOOT_METRICS_PORT={port}"):
            measuring(Settings(metrics_port=port))


async def test_nothing_listens_by_default(client: Client) -> None:
    assert measuring(Settings()) is None
    async with health(Settings(), client, bool):
        pass
