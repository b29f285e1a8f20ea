"""The embedded server that ends as soon as it is started: what is said of it, and where the next one is."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.errors import ServerUnreachable
from runtime.server import embedded_server
from runtime.settings import Settings
from tests.runtime.waiting import until

NO_DATABASE = b"not a database" * 1_000


@pytest.fixture
def settings(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("runtime.server.PORT", port)
    monkeypatch.setattr("runtime.server.UI_PORT", port + 1)
    return Settings(home=tmp_path)


async def test_one_whose_file_cannot_be_used_is_on_the_usual_ports_once_it_can_be(
    settings: Settings, port: int
) -> None:
    file = settings.home / "temporal.db"
    file.write_bytes(NO_DATABASE)
    with pytest.raises(ServerUnreachable, match=f"does not stay up; its log is {settings.home}/server.log"):
        async with embedded_server(settings):
            pass
    assert "file is not a database" in (settings.home / "server.log").read_text()
    file.unlink()
    async with embedded_server(settings) as server:
        assert server.ports == (port, port + 1)


async def test_one_that_is_started_again_and_does_not_stay_up_is_told_of_with_its_log(settings: Settings) -> None:
    def has_failed(word: Mapping[str, Any]) -> bool:
        return "could not be started again" in word["event"]

    async with embedded_server(settings) as server:
        with capture_logs() as said:
            os.kill(server.pid, signal.SIGKILL)
            for file in settings.home.glob("temporal.db*"):
                file.write_bytes(NO_DATABASE)
            word = await until(lambda: next(filter(has_failed, said), None), "a word of it", 20)
    assert word["reason"] == f"the Temporal server does not stay up; its log is {settings.home}/server.log"


async def test_one_that_cannot_be_run_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.home.joinpath("temporal").touch(mode=0o600)
    monkeypatch.setattr("runtime.server.temporal_binary", lambda: settings.home / "temporal")
    with pytest.raises(ServerUnreachable, match=f"{settings.home}/temporal cannot be run: Permission denied"):
        async with embedded_server(settings):
            pass
