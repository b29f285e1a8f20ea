"""How a notice goes out by each kind of channel, and to whom."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import httpx2
from pydantic_core import to_json
from standardwebhooks import Webhook

from activities.notices.http import client, post
from activities.notices.wording import Mention, Wording
from contracts.channels import SlackChannel, WebhookChannel
from contracts.directory import User
from contracts.errors import SettingsInvalid
from contracts.notices import SendNotice
from contracts.secrets import read_secret

MAX_SECTION = 2_900
"""Characters of a section's text that Slack takes, 3,000, with room for what closes it."""


@dataclass(frozen=True)
class Recipient:
    """`key`: what tells it apart in the ledger: a user, an address, or empty for whoever reads the channel."""

    key: str
    user: str | None = None
    person: User | None = None
    address: str = ""


class Carrier(Protocol):
    """One channel. `people`: the users concerned, with what the directory knows of them; where it `asks` for them."""

    asks: bool

    def recipients(self, people: Mapping[str, User]) -> Sequence[Recipient]: ...

    async def deliver(self, identity: str, notice: SendNotice, to: Recipient, people: Mapping[str, User]) -> None:
        """Raises:
        Undelivered: it was not accepted.
        """
        ...

    async def close(self) -> None: ...


EVERYBODY = (Recipient(""),)


class WebhookCarrier:
    """Signed as Standard Webhooks 1.0 says: HMAC-SHA256 of id, time and body."""

    asks = False

    def __init__(self, channel: WebhookChannel, environment: Mapping[str, str], proxy: str | None) -> None:
        setting = f"notices.{channel.name}"
        secret = read_secret(channel.secret, environment, f"{setting}.secret")
        self._signer = Webhook(_key(secret, f"{setting}.secret"))
        self._url = target(channel.url, environment, f"{setting}.url")
        self._setting = f"{setting}.url"
        self._client = client(proxy)

    def recipients(self, people: Mapping[str, User]) -> Sequence[Recipient]:
        return EVERYBODY

    async def deliver(self, identity: str, notice: SendNotice, to: Recipient, people: Mapping[str, User]) -> None:
        content = to_json(
            {
                "type": notice.kind,
                "timestamp": notice.at,
                "data": notice.model_dump(mode="json", exclude={"channel", "kind", "at", "last"}, exclude_none=True),
            }
        )
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(identity, now, content.decode()),
        }
        await post(self._client, self._url, content, headers, self._setting)

    async def close(self) -> None:
        await self._client.aclose()


def _key(secret: str, setting: str) -> bytes:
    """Raises: SettingsInvalid, for what is no secret as the specification has it."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        said = "write whsec_ and 24 to 64 random bytes in base64: `echo whsec_$(openssl rand -base64 32)`"
        raise SettingsInvalid(f"{setting} is no secret of a webhook; {said}")
    return key


class SlackCarrier:
    asks = True

    def __init__(
        self, channel: SlackChannel, environment: Mapping[str, str], proxy: str | None, wording: Wording
    ) -> None:
        self._setting = f"notices.{channel.name}.url"
        self._url = target(channel.url, environment, self._setting)
        self._wording = wording
        self._client: httpx2.AsyncClient = client(proxy)

    def recipients(self, people: Mapping[str, User]) -> Sequence[Recipient]:
        return EVERYBODY

    async def deliver(self, identity: str, notice: SendNotice, to: Recipient, people: Mapping[str, User]) -> None:
        content = to_json(self._message(notice, people))
        await post(self._client, self._url, content, {"content-type": "application/json"}, self._setting)

    def _message(self, notice: SendNotice, people: Mapping[str, User]) -> dict[str, Any]:
        """Block Kit, without links to decide by: many read a channel, and a link decides as one of them."""
        mentions = [Mention(f"<@{person.slack}>") for person in people.values() if person.slack]
        text = self._wording.text("slack.txt", notice, mentions=mentions)
        blocks: list[dict[str, Any]] = [{"type": "section", "text": {"type": "mrkdwn", "text": _cut(text)}}]
        if url := self._wording.run_url(notice):
            button = {"type": "button", "text": {"type": "plain_text", "text": "Open the run"}, "url": url}
            blocks.append({"type": "actions", "elements": [button]})
        return {"text": self._wording.subject(notice), "blocks": blocks}

    async def close(self) -> None:
        await self._client.aclose()


def target(url: str, environment: Mapping[str, str], setting: str) -> str:
    """The address itself, where a setting may also name the variable that holds it."""
    return read_secret(url, environment, setting) if url.startswith("env:") else url


def _cut(text: str) -> str:
    """What Slack takes, with a block of code closed that the cut opened."""
    if len(text) <= MAX_SECTION:
        return text
    kept = text[:MAX_SECTION]
    return kept + ("…```" if kept.count("```") % 2 else "…")
