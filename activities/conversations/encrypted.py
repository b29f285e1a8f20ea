"""Conversations that their store cannot read."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog

from activities.conversations.store import OpenedStore

log = structlog.get_logger()


class Cipher(Protocol):
    """`about`: what the content belongs to; what was encrypted about one thing cannot be passed off as another."""

    def encrypt(self, content: bytes, about: bytes) -> bytes:
        """With the key that is active now."""

    def decrypt(self, sealed: bytes, about: bytes) -> bytes:
        """With the key it was encrypted with.

        Raises:
            ValueError: there is no such key, or this is not what was encrypted about this.
        """


class EncryptedConversations:
    """Encrypts content for another store. Digests stay as they are. What cannot be decrypted counts as lost, be it
    that its key was retired or that it was written before there was one: the workflow supplies it again."""

    def __init__(self, store: OpenedStore, cipher: Cipher) -> None:
        self._store = store
        self._cipher = cipher

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for key, sealed in (await self._store.get(keys)).items():
            try:
                found[key] = self._cipher.decrypt(sealed, key.encode())
            except ValueError as error:
                log.warning("content cannot be decrypted and counts as lost", key=key, error=str(error))
        return found

    async def put(self, items: Mapping[str, bytes]) -> None:
        await self._store.put({key: self._cipher.encrypt(body, key.encode()) for key, body in items.items()})

    async def close(self) -> None:
        await self._store.close()
