"""Channels, a ledger and a directory for tests that send notices for real, and receivers: fixtures for a conftest."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import TypeAdapter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.notices.opening import open_notifier
from activities.notices.sending import Notifier
from activities.notices.telling import notify_activity
from activities.notices.wording import LinkFor, Wording, no_link
from activities.people.file import DirectoryFile
from activities.records.opening import open_records
from activities.records.store import Records
from contracts.ballot import Comment, Vote
from contracts.channels import Channel
from contracts.errors import ErrorInfo
from contracts.incidents import Choice, Incident, Kept
from contracts.notices import Question, SendNotice, Sent
from contracts.stores import RecordSettings
from tests.mailbox import Mailbox, open_mailbox
from tests.service import Answer, Service, open_service

SECRET = "whsec_" + base64.b64encode(b"webhook-canary-24-bytes!").decode()
PEOPLE = """
users:
  alice: {name: Alice Moreau, email: alice@example.com, slack: U0ALICE}
  bob: {name: Bob, email: bob@example.com}
  carol: {name: Carol}
groups: {finance: [alice, bob], it: [bob]}
roles: {operator: [group:it, starter]}
"""
NOW = datetime(2026, 12, 20, 9, 30, tzinfo=UTC)

Settings = Mapping[str, Any]


def notice(channel: str, **more: Any) -> SendNotice:
    """An approval that was opened, of alice and bob."""
    question = Question(
        show={"invoice": {"amount": 1840, "supplier": "acme <GmbH> & Co"}, "text": "line one\nline two"},
        hash="0" * 64,
        who=("group:finance",),
        people=("user:alice", "user:bob"),
        since=NOW,
        until=datetime(2026, 12, 24, 9, 30, tzinfo=UTC),
    )
    fields: dict[str, Any] = {
        "channel": channel,
        "run": "invoice-7",
        "execution": "e1",
        "process": "invoice",
        "number": 4,
        "kind": "approval.opened",
        "at": NOW,
        "step": "sign_off",
        "by": "system:surefoot",
        "to": ("user:alice", "user:bob"),
        "title": "Pay 1840 to acme?",
        "question": question,
    }
    return SendNotice(**{**fields, **more})


def asked() -> Question:
    """An approval of which people said something, and that one of them changed."""
    vote = Vote(by="user:carol", decision="approve", comment="fits the order", at=NOW)
    said = Comment(by="user:alice", text="Known?\n" + "<!channel> " * 200, at=NOW)
    return Question(hash="1" * 64, edits={"amount": 1700}, votes=(vote,), comments=(said,), since=NOW)


def mail(mailbox: Mailbox, **more: Any) -> dict[str, Any]:
    """A channel to this mailbox."""
    where = {"kind": "mail", "host": "127.0.0.1", "port": mailbox.port, "security": "none"}
    return {"name": "mail", **where, "sender": "surefoot@example.com", **more}


def incident(channel: str, **more: Any) -> SendNotice:
    parked = Incident(
        step="pay",
        title="bank.transfer",
        error=ErrorInfo(type="ToolFailed", message="the bank says no"),
        since=NOW,
        attempts=5,
        blocks=("notify",),
        done=(Kept(step="order", what="erp.order", at=NOW),),
        actions=(Choice(action="retry", does="again", command="starter.py repair invoice-7 pay retry"),),
    )
    fields = {"kind": "step.attention", "to": ("role:operator",), "title": parked.title, "step": "pay"}
    return notice(channel, **{**fields, "question": None, "incident": parked, **more})


class Desk:
    """`notifier`: of the last call of `open`."""

    def __init__(self, home: Path) -> None:
        self.file = home / "people.yaml"
        self.file.write_text(PEOPLE)
        self.records: Records = open_records(RecordSettings(), home, {})
        self.channels: Sequence[Channel] = ()
        self._opened: list[Notifier] = []

    def open(
        self,
        *channels: Settings,
        environment: Mapping[str, str] | None = None,
        templates: Path | None = None,
        link: LinkFor = no_link,
        cipher: Any = None,
    ) -> Notifier:
        known = self.channels = TypeAdapter[Sequence[Channel]](tuple[Channel, ...]).validate_python(channels)
        notifier = open_notifier(
            known,
            Wording(templates, link, lambda run: f"https://temporal.example/{run}"),
            self.records.database,
            DirectoryFile(self.file),
            environment or {"HOOK": SECRET},
            cipher=cipher,
        )
        self._opened.append(notifier)
        return notifier

    @property
    def notifier(self) -> Notifier:
        return self._opened[-1]

    async def send(self, sent: SendNotice) -> Sent:
        told: Sent = await ActivityEnvironment().run(notify_activity(self.notifier), sent)
        return told

    async def failed(self, sent: SendNotice) -> ApplicationError:
        try:
            await self.send(sent)
        except ApplicationError as error:
            return error
        raise AssertionError("it was delivered")

    async def states(self) -> dict[str, str]:
        """Of messages, by channel and recipient."""
        return {f"{each.channel}:{each.recipient}": each.state for each in await self.notifier.letters()}

    async def close(self) -> None:
        for notifier in self._opened:
            await notifier.close()
        await self.records.close()


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def service() -> Iterator[Service]:
    """Answers as webhooks do, with 204 and nothing."""
    with open_service() as opened:
        opened.answer = lambda request: Answer(b"", status=204)
        yield opened


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with open_mailbox() as opened:
        yield opened
