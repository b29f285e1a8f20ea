"""Large payloads lie outside Temporal, which holds a reference to each: in files, or in a bucket by setting.

References and protocol are the Temporal SDK's own (`ExternalStorage`). Which payloads are large is decided here.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from pydantic_core import ValidationError, from_json
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    ExternalStorage,
    StorageDriver,
    StorageDriverSelectContext,
)

# The SDK has no public way to know which payloads go into one workflow task.
from temporalio.converter._extstore import _current_storage_metrics

from contracts.agent import AgentView
from contracts.base import MAX_DEPTH, Unreadable
from contracts.errors import SettingsInvalid, TooDeep
from contracts.run import RunView
from runtime.buckets import Bucket, open_gcs, open_s3
from runtime.files import Files
from runtime.settings import Settings

TASK_BYTES = 2_000_000
"""Of payloads that one workflow task may carry itself. The server terminates a run whose task is over 4 MiB."""

VIEW_BYTES = 2_000_000
"""Of a view that is answered as it is: programs without our storage, such as the Temporal CLI, read views. The server
refuses answers over 2 MiB."""

COUNTED_BYTES = 1_000
"""Payloads below this are never looked at."""

VIEW_MARK = b"\n"
"""How a view's JSON ends, and no other does. Metadata would tell too, but the CLI then shows base64 instead of JSON."""

VIEW_METADATA = "surefoot-view"
"""Says the same of a payload that is encrypted, whose end tells nothing."""

_PACKAGES = {"s3": ("aioboto3", "types_aiobotocore_s3"), "gcs": ("gcloud.aio.storage",)}


_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())
"""Of the process: they hold nothing but what pydantic found out of each type. The SDK asks for a converter with every
run and with every payload of a workflow task that may go to external storage."""


class PayloadConverter(PydanticPayloadConverter):
    """Marks views, which a payload itself does not tell from a result."""

    def __init__(self) -> None:
        CompositePayloadConverter.__init__(self, *_CONVERTERS)

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        payloads = super().to_payloads(values)
        for value, payload in zip(values, payloads, strict=True):
            if isinstance(value, RunView | AgentView):
                payload.data += VIEW_MARK
            _check_depth(payload)
        return payloads

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """What is read without a type is what others sent, which its reader checks: what is no JSON at all is
        `Unreadable`, where an error would fail a run's workflow task for ever."""
        try:
            return super().from_payloads(payloads, type_hints)
        except (ValueError, RuntimeError, KeyError) as error:
            if type_hints is not None:
                raise
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            return [Unreadable(f"it cannot be read: {why}")] * len(payloads)


def _check_depth(payload: Payload) -> None:
    """Raises:
    TooDeep: whoever it is for could not read it.
    """
    if payload.data.count(b"[") + payload.data.count(b"{") <= MAX_DEPTH:
        return
    try:
        from_json(payload.data)
    except ValueError as error:
        raise TooDeep(f"a value is nested too deep to be carried; at most {MAX_DEPTH} levels are sure to be") from error


def external_storage(settings: Settings) -> ExternalStorage:
    """What is set for large payloads. Files can always be read, so that a bucket can take over from them.

    Raises:
        SettingsInvalid: the driver's package is not installed.
    """
    files = Files(settings.payloads)
    drivers: list[StorageDriver] = [files]
    storage = settings.storage
    if storage.driver != "local":
        _require(storage.driver)
        drivers.append(Bucket(storage, open_s3 if storage.driver == "s3" else open_gcs))
    chosen = drivers[-1]

    def select(_: StorageDriverSelectContext, payload: Payload) -> StorageDriver | None:
        return chosen if _is_large(payload, storage.threshold) else None

    return ExternalStorage(drivers, driver_selector=select, payload_size_threshold=COUNTED_BYTES)


async def close_storage(converter: DataConverter) -> None:
    for driver in converter.external_storage.drivers if converter.external_storage else ():
        if isinstance(driver, Bucket):
            await driver.close()


def is_view(payload: Payload) -> bool:
    return VIEW_METADATA in payload.metadata or (
        payload.metadata.get("encoding", b"").startswith(b"json/") and payload.data.endswith(VIEW_MARK)
    )


def _is_large(payload: Payload, threshold: int) -> bool:
    size = payload.ByteSize()
    if is_view(payload):
        return size > VIEW_BYTES
    return size >= threshold or not _fits_in_task(size)


def _fits_in_task(size: int) -> bool:
    """Whether the workflow task that is being answered, if one is, has room for this payload too; if so it is taken.

    A wide `for_each` makes hundreds of payloads in one task, none of them large.
    """
    task: Any = _current_storage_metrics.get()
    if task is None:
        return True
    taken = getattr(task, "surefoot_bytes", 0) + size
    if taken > TASK_BYTES:
        return False
    task.surefoot_bytes = taken
    return True


def _require(driver: str) -> None:
    for package in _PACKAGES[driver]:
        try:
            found = find_spec(package)
        except ModuleNotFoundError:  # of the package it is in
            found = None
        if found is None:
            raise SettingsInvalid(
                f"storage.driver is {driver}, and the package {package} is not installed; "
                f"`make setup WITH={driver}` installs it"
            )
