"""Large payloads as files."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from contracts.errors import PayloadUnavailable

CLAIM = "sha256"


class Files(StorageDriver):
    """Each payload in a file named by the SHA-256 of its bytes, `ab/cd/abcd...`; the same bytes are kept once.

    A file's time is when it was last stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def name(self) -> str:
        """Part of every reference: by another name, what lies there could not be read."""
        return "surefoot.files"

    def type(self) -> str:
        return self.name()

    async def store(self, context: StorageDriverStoreContext, payloads: Sequence[Payload]) -> list[StorageDriverClaim]:
        """Raises:
        PayloadUnavailable: the folder cannot be written to.
        """
        return [await asyncio.to_thread(self._store, payload) for payload in payloads]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Raises:
        PayloadUnavailable: a file is missing, cannot be read, or does not hold what was stored.
        """
        return [await asyncio.to_thread(self._retrieve, claim.claim_data[CLAIM]) for claim in claims]

    def _store(self, payload: Payload) -> StorageDriverClaim:
        content = payload.SerializeToString(deterministic=True)
        digest = hashlib.sha256(content).hexdigest()
        file = self._file(digest)
        try:
            if _holds(file, digest):
                os.utime(file)
            else:
                self._write(file, content)
        except OSError as error:
            raise PayloadUnavailable(
                f"{file}: a payload of {len(content):,} bytes cannot be stored ({error.strerror}); mend the folder or "
                "the disk, or set SUREFOOT_STORAGE__FOLDER to one that can be written to"
            ) from error
        return StorageDriverClaim({CLAIM: digest})

    def _write(self, file: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # runs hold what is nobody else's business
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        # The server keeps the reference durably; the names that lead to the file must last as long.
        for folder in (file.parent, file.parent.parent, self._folder):
            _sync(folder)

    def _retrieve(self, digest: str) -> Payload:
        file = self._file(digest)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise PayloadUnavailable(
                f"{file}: a large payload of this run cannot be read ({error.strerror}). It was stored by a program "
                "with another SUREFOOT_HOME, or was removed: use the same home or share the folder, or bring the file "
                "back from a backup; the run then goes on"
            ) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise PayloadUnavailable(
                f"{file}: a large payload of this run is damaged, the file does not have the SHA-256 it is named by; "
                "bring it back from a backup; the run then goes on"
            )
        return Payload.FromString(content)

    def _file(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:4] / digest


def _holds(file: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() == digest
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
