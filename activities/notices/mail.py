"""Notices as mails, one for each person, by an SMTP server."""

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import formataddr, formatdate

import aiosmtplib

from activities.notices.carriers import Recipient
from activities.notices.wording import Wording
from contracts.channels import MailChannel
from contracts.directory import User
from contracts.notices import SendNotice, Undelivered
from contracts.secrets import read_secret

TIMEOUT = 30.0
"""Seconds for each exchange with the server."""

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class MailCarrier:
    asks = True

    def __init__(self, channel: MailChannel, environment: Mapping[str, str], wording: Wording) -> None:
        self._channel = channel
        self._setting = f"notices.{channel.name}"
        self._wording = wording
        secret = channel.password
        self._password = read_secret(secret, environment, f"{self._setting}.password") if secret else None

    def recipients(self, people: Mapping[str, User]) -> Sequence[Recipient]:
        copies = [Recipient(address, address=address) for address in self._channel.copies]
        return [Recipient(user, user, person, person.email) for user, person in people.items()] + copies

    async def deliver(self, identity: str, notice: SendNotice, to: Recipient, people: Mapping[str, User]) -> None:
        try:
            message = self._message(identity, notice, to)
        except ValueError as error:
            raise Undelivered(f"{to.address!r} is no address to write to: {error}", final=True) from error
        channel = self._channel
        server = aiosmtplib.SMTP(
            hostname=channel.host,
            port=channel.port or _PORTS[channel.security],
            timeout=TIMEOUT,
            use_tls=channel.security == "tls",
            start_tls=channel.security == "starttls",
            tls_context=None if channel.security == "none" else ssl.create_default_context(),
            username=channel.user,
            password=self._password,
        )
        try:
            async with server:
                await server.send_message(message, sender=channel.sender, recipients=[to.address])
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._meaning(error, to) from error

    async def close(self) -> None:
        """Nothing is held open."""

    def _meaning(self, error: Exception, to: Recipient) -> Undelivered:
        """4yz passes, 5yz stays (RFC 5321, 4.2.1)."""
        where = f"{self._setting}: {self._channel.host}"
        if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
            refused = error.recipients[0]
            return Undelivered(f"{where} refuses {to.address}: {_said(refused)}", final=refused.code >= 500)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            said = f"{where} does not let us in ({error.code}); mend {self._setting}.user and .password"
            return Undelivered(said, final=error.code >= 500)
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return Undelivered(f"{where}: {_said(error)}", final=error.code >= 500)
        if type(error) in (aiosmtplib.SMTPException, aiosmtplib.SMTPNotSupported):  # no STARTTLS, no AUTH
            return Undelivered(f"{where}: {error}; mend {self._setting}.security", final=True)
        if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return Undelivered(f"{where} has a certificate that does not hold: {error}", final=True)
        return Undelivered(f"{where}: no answer ({type(error).__name__}: {error})")

    def _message(self, identity: str, notice: SendNotice, to: Recipient) -> EmailMessage:
        """Raises: ValueError, for an address or a name that is none."""
        name = to.person.name if to.person else ""
        domain = self._channel.sender.partition("@")[2]
        # Whatever is said of one step of a run is one conversation in the reader's mail program.
        thread = hashlib.sha256(f"{notice.execution}\n{notice.step}".encode()).hexdigest()[:32]
        message = EmailMessage()
        message["From"] = formataddr(("Surefoot", self._channel.sender))
        message["To"] = formataddr((name, to.address))
        message["Subject"] = self._wording.subject(notice)
        message["Date"] = formatdate(usegmt=True)
        message["Message-ID"] = f"<{identity}@{domain}>"
        message["References"] = f"<{thread}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self._wording.text("mail.txt", notice, to.user, to.person))
        message.add_alternative(self._wording.text("mail.html", notice, to.user, to.person), subtype="html")
        return message


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {' '.join(str(error.message).split())}"
