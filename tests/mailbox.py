"""A real SMTP server on 127.0.0.1 (aiosmtpd) that keeps what it is sent and refuses whom a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session


@dataclass
class Mailbox:
    """`refused`: the answer for these recipients, such as `550 no such user`."""

    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    logins: list[tuple[str, str]] = field(default_factory=list)
    received: list[tuple[str, EmailMessage]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - the name is the library's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        parsed = message_from_bytes(cast("bytes", envelope.content), policy=policy.default)
        self.received += [(to, parsed) for to in envelope.rcpt_tos]
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        said = (data.login.decode(), data.password.decode())
        self.logins.append(said)
        return AuthResult(success=said[1] == "right", handled=False)

    def to(self, address: str) -> list[EmailMessage]:
        return [message for to, message in self.received if to == address]


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


@asynccontextmanager
async def open_mailbox(**options: Any) -> AsyncIterator[Mailbox]:
    """`options`: of aiosmtpd's SMTP, such as `tls_context`, `auth_required`."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, authenticator=mailbox.authenticate, loop=loop, **options), "127.0.0.1", 0
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
