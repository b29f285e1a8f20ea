"""Links by which one person decides on one thing: what a link carries is sealed, so that nobody can read it or make one
up, and ends at its time.

A token is a Fernet token (https://github.com/fernet/spec: AES-128-CBC and HMAC-SHA-256) without its padding, which
programs that recognise addresses in a text would cut off. That it is used once is for the run: its id is the id of the
decision, and a run takes a decision once.
"""

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import uuid_utils
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import ValidationError

from contracts.base import Contract
from contracts.decisions import Actor
from contracts.errors import SettingsInvalid
from contracts.secrets import read_secret
from runtime.settings import Settings

KEY_FILE = "links.key"
PATH = "/decide/"


class Link(Contract):
    """What a link stands for: `person` may decide on what has this `hash`, until it expires. `id`: of the decision."""

    run: str
    step: str
    hash: str
    person: Actor
    expires: datetime
    id: str

    def has_expired(self, now: datetime) -> bool:
        return now >= self.expires


class Links:
    """Makes links and reads them."""

    def __init__(self, keys: Sequence[bytes], settings: Settings) -> None:
        """`keys`: 32 bytes each; the first seals, each of them opens."""
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
        self.base = settings.links.base
        self._longest = settings.links.expires

    @classmethod
    def open(cls, settings: Settings, environment: Mapping[str, str]) -> Self:
        """With the keys of the settings; by default one in the home folder, which is made when it is first needed.

        Raises:
            SettingsInvalid: a key is not set, or is no key.
        """
        keys = [
            _key(read_secret(reference, environment, "links.keys"), f"links.keys: {reference}")
            for reference in settings.links.keys
        ]
        return cls(keys or [_kept_key(settings.home / KEY_FILE)], settings)

    def link_for(self, run: str, step: str, subject: str, person: str, until: datetime | None = None) -> str:
        """An address where `person` decides on what has the hash `subject`. It lasts until `until`, which is the
        approval's expiry, and no longer than the settings allow."""
        latest = datetime.now(UTC) + self._longest
        link = Link(
            run=run,
            step=step,
            hash=subject,
            person=person,
            expires=min(until, latest) if until else latest,
            id=str(uuid_utils.uuid7()),
        )
        return f"{self.base}{PATH}{self._fernet.encrypt(link.model_dump_json().encode()).decode().rstrip('=')}"

    def read(self, token: str) -> Link:
        """What a token stands for, expired or not.

        Raises:
            LookupError: it was not made with one of the keys.
        """
        padded = token + "=" * (-len(token) % 4)
        try:
            # One sealed text has one spelling: Python's base64 skips what is none, and bits beyond the last byte.
            if base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)).decode().rstrip("=") != token:
                raise LookupError("this is no link")
            return Link.model_validate_json(self._fernet.decrypt(padded))
        except (InvalidToken, ValidationError, ValueError) as error:  # binascii.Error is a ValueError
            raise LookupError("this is no link") from error


def _key(text: str, place: str) -> bytes:
    """A key in base64, as `openssl rand -base64 32` prints it, or in the alphabet for URLs."""
    try:
        key = base64.b64decode(text.strip().translate(str.maketrans("-_", "+/")), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise SettingsInvalid(f"{place} holds no key, which is 32 random bytes in base64: openssl rand -base64 32")
    return key


def _kept_key(file: Path) -> bytes:
    """The key in a file that only its owner can read. Of several programs that need it first, one makes it."""
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, made = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # with mode 0600
            with os.fdopen(handle, "wb") as stream:
                stream.write(base64.b64encode(os.urandom(32)) + b"\n")
            try:
                os.link(made, file)
            except FileExistsError:
                pass
            finally:
                Path(made).unlink()
        except OSError as error:
            raise SettingsInvalid(
                f"{file}: the key of links cannot be kept there: {error.strerror}; mend SUREFOOT_HOME, or set "
                "links.keys"
            ) from error
    try:
        return _key(file.read_text(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"{file}: the key of links cannot be read: {error}; mend it, or set links.keys"
        ) from error
