"""Settings of the channels by which people are told: `[[notices]]` in surefoot.toml."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from contracts.base import Contract
from contracts.secrets import SecretRef

NoticeKind = Literal[
    "approval.opened",
    "approval.edited",
    "approval.reopened",
    "approval.delegate",
    "approval.reminded",
    "approval.escalated",
    "approval.expired",
    "approval.decided",
    "step.attention",
]
"""What people can be told of, as events of a run's record are called. `step.attention` is an incident,
`approval.reopened` a vote that was withdrawn or a claim that somebody else lifted."""

USUAL: Final[tuple[NoticeKind, ...]] = (
    "approval.opened",
    "approval.edited",
    "approval.reopened",
    "approval.delegate",
    "approval.reminded",
    "approval.escalated",
    "approval.expired",
    "step.attention",
)
"""What a channel tells unless it says otherwise: whatever somebody should do something about."""

_AS: Final[Mapping[str, NoticeKind]] = {
    **{kind: kind for kind in get_args(NoticeKind)},
    "approval.approve": "approval.opened",
    "approval.withdraw": "approval.reopened",
    "approval.release": "approval.reopened",
}
"""An approval that opens the next stage asks people too, and so does what opens it again."""


def notice_of(event: str) -> NoticeKind | None:
    """What people may be told when this kind of event happens."""
    return _AS.get(event)


Target = Annotated[
    str,
    Field(
        pattern=r"^(https?://[^/\s@]+[^\s]*|env:[A-Za-z_][A-Za-z0-9_]*)$",
        description="an address, or env:NAME, the variable that holds it",
    ),
]
Address = Annotated[str, Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", description="ops@example.com")]


class _Channel(Contract):
    """`name`: what the record and `starter.py notices` call it. `processes`: names, in which `*` is any text."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
    events: Annotated[tuple[NoticeKind, ...], Field(min_length=1)] = USUAL
    processes: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)

    def tells(self, event: str, process: str) -> bool:
        """Whether this kind of event of this process goes out here."""
        return notice_of(event) in self.events and any(fnmatchcase(process, pattern) for pattern in self.processes)


class WebhookChannel(_Channel):
    """A POST of JSON for each notice, signed as Standard Webhooks has it."""

    kind: Literal["webhook"]
    url: Target
    secret: SecretRef = Field(description="of the signature: whsec_ and 24 to 64 random bytes in base64")


class SlackChannel(_Channel):
    """A message for each notice to an incoming webhook of Slack, or of what takes the same JSON."""

    kind: Literal["slack"]
    url: Target


class MailChannel(_Channel):
    """A mail for each person concerned, by an SMTP server; `copies`: addresses that get all of them besides."""

    kind: Literal["mail"]
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        default=None, description="by default 587, with security tls 465, with none 25"
    )
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretRef | None = None
    sender: Address
    copies: tuple[Address, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.security == "none":
            raise ValueError("with security none the password would be readable on its way; use starttls or tls")
        return self


Channel = Annotated[WebhookChannel | SlackChannel | MailChannel, Field(discriminator="kind")]
CHANNEL_KINDS: Final[Mapping[str, type[Contract]]] = {
    "webhook": WebhookChannel,
    "slack": SlackChannel,
    "mail": MailChannel,
}
