"""`starter.py notices`: what could not be delivered is shown, and sent again."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.notices.sending import Notifier
from cli.app import call
from contracts.notices import Undelivered
from runtime.settings import load_settings
from starter import PARTS
from tests.activities.notices.desk import SECRET, notice
from tests.service import Answer, Service, open_service
from worker import open_notices


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Refuses everything, with the settings that post to it."""
    with open_service() as opened:
        opened.answer = lambda request: Answer({"said": "gone"}, status=410)
        (tmp_path / "surefoot.toml").write_text(
            f'[[notices]]\nname = "hook"\nkind = "webhook"\nurl = "{opened.base}"\nsecret = "env:HOOK"\n'
        )
        monkeypatch.setenv("SUREFOOT_CONFIG", str(tmp_path / "surefoot.toml"))
        monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HOOK", SECRET)
        yield opened


async def refused() -> None:
    async with open_notices(load_settings()) as desk:
        assert isinstance(desk, Notifier)
        with pytest.raises(Undelivered):
            await desk.send(notice("hook"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = call(["notices", *arguments], PARTS)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_dead_letter_is_shown_and_sent_again(service: Service, capsys: pytest.CaptureFixture[str]) -> None:

    assert json.loads(said(capsys, "--json")[1]) == {"notices": []}
    asyncio.run(refused())
    status, shown = said(capsys, "--dead")
    identity = notice("hook").id_for("")
    assert status == 0
    assert "dead approval.opened by hook" in shown
    assert "410" in shown
    status, shown = said(capsys, "resend", identity)
    assert (status, "was not delivered" in shown) == (2, True)
    service.answer = lambda request: Answer(b"", status=204)
    assert said(capsys, "resend", identity)[0] == 0
    listed = json.loads(said(capsys, "--run", "invoice-7", "--json")[1])["notices"]
    assert [(each["id"], each["state"]) for each in listed] == [(identity, "delivered")]
    assert json.loads(said(capsys, "--dead", "--json")[1])["notices"] == []


@pytest.mark.parametrize("arguments", [("resend",), ("list", "x"), ("resend", "unknown")])
def test_a_wrong_call_says_what_is_right(
    service: Service, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    status, shown = said(capsys, *arguments)
    assert (status, "notices" in shown) == (2, True)
