"""Logs: structlog, pretty on a terminal and JSON elsewhere; silent while a workflow replays; never with a secret."""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from temporalio import activity, workflow
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from runtime.redaction import REDACTED, SECRET_NAME, Redactor, redactor
from runtime.settings import Settings

Event = MutableMapping[str, Any]


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Takes secrets out of the finished line: wherever one came from, a message, a field or a stack trace."""

    def __init__(self, redact: Redactor, **options: Any) -> None:
        super().__init__(**options)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send everything, the standard library's loggers included, to a stream (default: standard error)."""
    out = stream or sys.stderr
    pretty = settings.log == "pretty" if settings.log else out.isatty()
    shared: list[structlog.typing.Processor] = [
        drop_while_replaying,
        structlog.contextvars.merge_contextvars,
        bind_ids,
        structlog.stdlib.add_log_level,
        add_time,
        redact,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty()) if pretty else structlog.processors.JSONRenderer()
    )
    formatter = RedactingFormatter(
        redactor(settings, os.environ),
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for noisy in ("httpcore2", "httpx2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=False,
    )


def log_what_the_sdk_says() -> None:
    """Send the log lines of the SDK's native part the same way: they quote failures, stack traces included. To be
    called before the first client is made."""
    forwarding = LogForwardingConfig(logging.getLogger("temporalio"), append_target_to_name=False)
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    telemetry = TelemetryConfig(logging=LoggingConfig(filter=levels, forwarding=forwarding))
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)


def drop_while_replaying(_: Any, __: str, event: Event) -> Event:
    """Raises DropEvent in a workflow that replays: what it says was said the first time."""
    if workflow.in_workflow() and workflow.unsafe.is_replaying_history_events():
        raise structlog.DropEvent
    return event


def bind_ids(_: Any, __: str, event: Event) -> Event:
    """Which run and step speaks, and in which trace."""
    if workflow.in_workflow():
        info = workflow.info()
        event.setdefault("run", info.workflow_id)
        event.setdefault("workflow", info.workflow_type)
    elif activity.in_activity():
        call = activity.info()
        event.setdefault("run", call.workflow_id)
        event.setdefault("activity", call.activity_type)
        event.setdefault("step", call.activity_id)
        event.setdefault("attempt", call.attempt)
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("trace", format(span.trace_id, "032x"))
    return event


def add_time(logger: Any, method: str, event: Event) -> Event:
    """Of the workflow where one speaks, which is the same in every replay."""
    if workflow.in_workflow():
        event["timestamp"] = workflow.now().isoformat()
        return event
    return structlog.processors.TimeStamper(fmt="iso", utc=True)(logger, method, event)


def redact(_: Any, __: str, event: Event) -> Event:
    """Values under keys that look like secrets are not shown, however deep they are."""
    return {key: _shown(key, value) for key, value in event.items()}


def _shown(key: object, value: Any) -> Any:
    if isinstance(key, str) and SECRET_NAME.search(key) and value:
        return REDACTED
    if isinstance(value, dict):
        return {inner: _shown(inner, item) for inner, item in value.items()}
    return [_shown(None, item) for item in value] if isinstance(value, list | tuple) else value
