"""What a running tool may ask for: its key, its place in the run, its secrets, a log, a sign of life."""

import asyncio
import contextvars
import os
import re
from collections.abc import Callable, Mapping

import structlog
from temporalio import activity
from temporalio.exceptions import CancelledError

from contracts.base import Json
from contracts.tools import ToolCall, ToolError

SECRET_PREFIX = "SUREFOOT_SECRET_"  # noqa: S105 - the name of settings, not a secret
REDACTED = "[secret]"

Secrets = Callable[[str], str]
"""A secret's value by its name. Raises ToolError naming what to set."""


def environment_secrets(name: str) -> str:
    """The value of the environment variable `SUREFOOT_SECRET_<NAME>`; `erp.token` is `SUREFOOT_SECRET_ERP_TOKEN`.

    Raises:
        ToolError: it is not set; not retried.
    """
    variable = SECRET_PREFIX + re.sub(r"\W", "_", name).upper()
    value = os.environ.get(variable)
    if not value:
        raise ToolError(f"the secret {name!r} is not set; set {variable} for the worker and retry", retry=False)
    return value


class ActivityToolContext:
    """`contracts.tools.ToolContext` for one attempt. Tools may use it from the event loop or from their own thread."""

    def __init__(self, call: ToolCall, tool: str, secrets: Secrets) -> None:
        self.idempotency_key = call.key
        self.run = call.run
        self.step = call.step
        self.tool = tool
        self.tainted = call.tainted
        self.attempt = activity.info().attempt
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger("surefoot.tools").bind(
            run=call.run, step=call.step, tool=tool, attempt=self.attempt
        )
        self._secrets = secrets
        self._revealed: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._activity = contextvars.copy_context()
        self.progress: tuple[Json, ...] = ()

    def heartbeat(self, *details: Json) -> None:
        if self._activity.run(activity.is_cancelled):
            raise CancelledError("the step was cancelled")
        self.progress = tuple(self.redact(each) for each in details)
        self._loop.call_soon_threadsafe(self._send_heartbeat)

    def secret(self, name: str) -> str:
        value = self._secrets(name)
        self._revealed.add(value)
        return value

    def knows_secret_in(self, text: str) -> bool:
        """Whether a secret this call asked for appears in a text."""
        return any(value in text for value in self._revealed)

    def redact(self, value: Json) -> Json:
        """The JSON value without the secrets this call asked for, so that none gets into a history or a log."""
        if not self._revealed:
            return value
        if isinstance(value, str):
            for secret in sorted(self._revealed, key=len, reverse=True):  # one may be the beginning of another
                value = value.replace(secret, REDACTED)
            return value
        if isinstance(value, Mapping):
            return {self.redact(key): self.redact(item) for key, item in value.items()}
        return [self.redact(item) for item in value] if isinstance(value, list | tuple) else value

    def _send_heartbeat(self) -> None:
        # Temporal keeps the newest heartbeat only, so each repeats the progress the tool reported last.
        self._activity.run(activity.heartbeat, *self.progress)
