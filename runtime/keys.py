"""Keys that payloads and conversations are encrypted with: AES-GCM, of 128, 192 or 256 bits."""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.errors import SettingsInvalid
from contracts.secrets import read_secret
from runtime.settings import EncryptionSettings

NONCE_BYTES = 12
_FORM = b"\x01"
"""The first byte of what `encrypt` gives; another one would say another form."""


class UnknownKey(ValueError):
    """There is no key of this id."""


class Keys:
    """The active key encrypts, each of them decrypts. Nonces are random: one key is good for 2^32 encryptions."""

    def __init__(self, keys: Mapping[str, bytes], active: str) -> None:
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self.active = active

    @classmethod
    def read(cls, settings: EncryptionSettings, environment: Mapping[str, str]) -> Self | None:
        """The keys that the settings refer to; None when there are none.

        Raises:
            SettingsInvalid: a key's variable is not set, or does not hold a key.
        """
        if settings.active_key is None:
            return None
        keys = {}
        for name, reference in settings.keys.items():
            setting = f"encryption.keys.{name}"
            keys[name] = _key(read_secret(reference, environment, setting), f"{setting}: {reference}")
        return cls(keys, settings.active_key)

    def seal(self, content: bytes, about: bytes) -> tuple[str, bytes]:
        """The active key's id, and the content encrypted with it."""
        nonce = os.urandom(NONCE_BYTES)
        return self.active, nonce + self._ciphers[self.active].encrypt(nonce, content, about)

    def unseal(self, name: str, sealed: bytes, about: bytes) -> bytes:
        """Raises:
        UnknownKey: there is no such key.
        ValueError: this is not what that key encrypted about this.
        """
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise UnknownKey(f"key {name!r} is not one of encryption.keys ({', '.join(self._ciphers)})")
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except InvalidTag as error:
            raise ValueError(
                f"key {name!r} does not open it: encryption.keys.{name} is not the key it was encrypted with, or it "
                "was damaged"
            ) from error

    def encrypt(self, content: bytes, about: bytes) -> bytes:
        """With the id of the key in front, for where there is no metadata."""
        name, sealed = self.seal(content, about)
        return _FORM + bytes([len(name)]) + name.encode() + sealed

    def decrypt(self, sealed: bytes, about: bytes) -> bytes:
        """Raises:
        ValueError: it cannot be decrypted; the message names the key.
        """
        if sealed[:1] != _FORM:
            raise ValueError("it is not encrypted")
        end = 2 + sealed[1]
        return self.unseal(sealed[2:end].decode(errors="replace"), sealed[end:], about)


def _key(text: str, place: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in (16, 24, 32):
        raise SettingsInvalid(f"{place} holds no key, which is 32 random bytes in base64: openssl rand -base64 32")
    return key
