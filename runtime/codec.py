"""Encrypts payloads before they leave this process, and failures' messages and stack traces with them.

The form is that of Temporal's own samples (`binary/encrypted`, `encryption-key-id`), so that tools know it.
"""

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from contracts.errors import PayloadUnavailable
from runtime.keys import Keys
from runtime.storage import VIEW_METADATA, is_view

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"


class EncryptionCodec(PayloadCodec):
    """Payloads that are not encrypted are read as they are: those from before, and those of the Temporal CLI."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises:
        PayloadUnavailable: a key is missing, or is not the one that it was encrypted with.
        """
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        name, sealed = self._keys.seal(payload.SerializeToString(), ENCODING)
        metadata = {"encoding": ENCODING, KEY_ID: name.encode()}
        if is_view(payload):
            metadata[VIEW_METADATA] = b"true"
        return Payload(metadata=metadata, data=sealed)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        name = payload.metadata.get(KEY_ID, b"").decode(errors="replace")
        try:
            return Payload.FromString(self._keys.unseal(name, payload.data, ENCODING))
        except ValueError as error:
            raise PayloadUnavailable(
                f"a payload cannot be decrypted: {error}; mend encryption.keys for every worker and starter.py; "
                "old keys are needed as long as there are runs of their time"
            ) from error


class NoKeys(PayloadCodec):
    """Where nothing is encrypted: says which setting is missing when something is."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises:
        PayloadUnavailable: one is encrypted.
        """
        for payload in payloads:
            if payload.metadata.get("encoding") == ENCODING:
                name = payload.metadata.get(KEY_ID, b"").decode(errors="replace")
                raise PayloadUnavailable(
                    f"a payload is encrypted with key {name!r}, and encryption.keys is not set; set it as it is set "
                    "for the workers"
                )
        return list(payloads)
