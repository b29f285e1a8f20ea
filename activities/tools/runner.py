"""Makes each tool a Temporal activity of the tool's own name, from `ToolCall` to `ToolResult`.

Failures carry `details[0] = {"attempts": n, "applied": "no" | "unknown"}`: whether the effect may have happened.
"""

import asyncio
import contextvars
import functools
import inspect
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from activities.conversations import ConversationStore, ConversationsUnavailable
from activities.heartbeats import heartbeating
from activities.tools.context import ActivityToolContext, Secrets, environment_secrets
from activities.tools.rates import Rates
from activities.tools.results import Results
from contracts.base import MAX_DEPTH, Json, is_too_deep
from contracts.errors import ArgumentsInvalid, OutputInvalid, StepError, ToolFailed
from contracts.messages import digest, part_message, tool_message
from contracts.metrics import ATTEMPTS
from contracts.results import RESULT_READ, result_tool
from contracts.tools import Tool, ToolCall, ToolError, ToolResult, ToolSpec
from language.schema import violations

MAX_OUTPUT_BYTES = 10_000_000
"""Of a result as JSON. A workflow task has two seconds for all it does, and 18 MB of rows were too many."""

MAX_MESSAGE = 10_000
"""Characters of an error's text. It cannot lie outside the history as a result can, and over 2 MB it never arrives."""

MAX_THREADS = 128
"""Plain `def` tools at work at once, in one worker."""

_SHOWN = 120

Applied = Literal["no", "unknown"]
ToolActivity = Callable[[ToolCall], Awaitable[ToolResult]]


def tool_activities(
    tools: Iterable[Tool[..., Any]],
    secrets: Secrets = environment_secrets,
    conversations: ConversationStore | None = None,
) -> list[ToolActivity]:
    """One activity per tool, for a worker to register. Plain `def` tools share one pool of threads."""
    threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="tool")
    rates = Rates()
    read_on = [] if conversations is None else [result_tool(Results(conversations))]
    return [_activity(tool, secrets, conversations, threads, rates) for tool in (*tools, *read_on)]


def _activity(
    tool: Tool[..., Any],
    secrets: Secrets,
    conversations: ConversationStore | None,
    threads: ThreadPoolExecutor,
    rates: Rates,
) -> ToolActivity:
    @activity.defn(name=tool.spec.name)
    async def run(call: ToolCall) -> ToolResult:
        context = ActivityToolContext(call, tool.spec.name, secrets)
        attempt = _Attempt(tool, call, context)
        started = time.monotonic()
        output = await _measured(tool.spec.name, attempt.run(threads, rates))
        context.log.info("tool done", seconds=round(time.monotonic() - started, 3))
        result = ToolResult(output=output, attempts=context.attempt)
        if call.call_id is not None and conversations is not None:
            return await _remember(conversations, call.call_id, result, context)
        return result

    return run


async def _measured(tool: str, running: Awaitable[Json]) -> Json:
    outcome = "cancelled"
    try:
        output = await running
        outcome = "done"
    except ApplicationError as error:
        outcome = error.type or "failed"
        raise
    else:
        return output
    finally:
        ATTEMPTS.add(activity.metric_meter(), tool=tool, outcome=outcome)


class _Attempt:
    """One try of one call: check the arguments, run the function, check the result."""

    def __init__(self, tool: Tool[..., Any], call: ToolCall, context: ActivityToolContext) -> None:
        self._tool = tool
        self._spec: ToolSpec = tool.spec
        self._call = call
        self._context = context

    async def run(self, threads: ThreadPoolExecutor, rates: Rates) -> Json:
        """The output as JSON.

        Raises:
            ApplicationError: it failed; type `ArgumentsInvalid`, `ToolFailed` or `OutputInvalid`.
            CancelledError: the step was cancelled, or the worker is going away.
        """
        arguments = self._arguments()
        try:
            if self._spec.rate is not None:
                await rates.turn(self._spec.name, self._spec.rate)
            with heartbeating(lambda: self._context.progress):
                result = await self._function(arguments, threads)
        except (asyncio.CancelledError, CancelledError):
            raise
        except ToolError as error:
            failure = self._failure(ToolFailed, str(error), "no", error, retry=error.retry, after=error.after)
            raise failure from self._cause(error)
        except Exception as error:  # noqa: BLE001 - becomes a failure that Temporal retries
            message = f"{type(error).__name__}: {error}"
            raise self._failure(ToolFailed, message, "unknown", error, retry=True) from self._cause(error)
        return self._output(result)

    def _arguments(self) -> dict[str, Any]:
        if self._tool.arguments is None:
            return self._by_schema()
        try:
            arguments = self._tool.arguments.model_validate(self._call.args)
        except ValidationError as error:
            # Never with the values: an argument may be a secret somebody pasted, and the step's record has them anyway.
            message = f"{self._spec.name} cannot be called: {_problems(error, with_values=False)}"
            raise self._failure(ArgumentsInvalid, message, "no", None, retry=False) from None
        return {name: getattr(arguments, name) for name in type(arguments).model_fields}

    def _by_schema(self) -> dict[str, Any]:
        """The arguments as one mapping, those left out as the schema's `default` has them."""
        if wrong := violations(self._spec.parameters, self._call.args):
            message = f"{self._spec.name} cannot be called: {'; '.join(wrong)}"
            raise self._failure(ArgumentsInvalid, message, "no", None, retry=False)
        properties: dict[str, Any] = self._spec.parameters.get("properties", {})
        given = {name: each["default"] for name, each in properties.items() if _has_default(each)}
        return {"args": {**given, **self._call.args}}

    async def _function(self, arguments: dict[str, Any], threads: ThreadPoolExecutor) -> Any:
        function: Callable[..., Any] = self._tool.function
        call = functools.partial(function, *([self._context] if self._tool.wants_context else ()), **arguments)
        if inspect.iscoroutinefunction(function):
            return await call()
        in_context = functools.partial(contextvars.copy_context().run, call)
        return await asyncio.get_running_loop().run_in_executor(threads, in_context)

    def _output(self, result: Any) -> Json:
        applied: Applied = "no" if self._spec.effect == "read" else "unknown"
        adapter = self._tool.result
        wrong: list[str] = []
        try:
            if adapter is None:
                text = to_json(result)
                wrong = violations(self._spec.returns, result)
            else:
                text = adapter.dump_json(adapter.validate_python(result), by_alias=True, warnings="error")
        except ValidationError as error:
            message = f"{self._spec.name} returned what it does not declare: {_problems(error, with_values=True)}"
            raise self._failure(OutputInvalid, message, applied, None, retry=False) from None
        except PydanticSerializationError as error:
            message = f"{self._spec.name} returned what cannot be written as JSON: {error}"
            raise self._failure(OutputInvalid, message, applied, None, retry=False) from None
        if wrong:
            message = f"{self._spec.name} returned what it does not declare: {'; '.join(wrong)}"
            raise self._failure(OutputInvalid, message, applied, None, retry=False)
        if is_too_deep(text):
            message = f"{self._spec.name} returned a value nested more than {MAX_DEPTH} levels deep; flatten it"
            raise self._failure(OutputInvalid, message, applied, None, retry=False)
        if len(text) > MAX_OUTPUT_BYTES:
            message = (
                f"{self._spec.name} returned {len(text) / 1e6:.1f} MB, more than the {MAX_OUTPUT_BYTES / 1e6:.1f} MB "
                "a step can hold; return less, or a reference to where it is kept"
            )
            raise self._failure(OutputInvalid, message, applied, None, retry=False)
        return self._context.redact(from_json(text))

    def _failure(
        self,
        kind: type[StepError],
        message: str,
        applied: Applied,
        error: Exception | None,
        *,
        retry: bool,
        after: timedelta | None = None,
    ) -> ApplicationError:
        message = self._context.redact(message)
        if len(message) > MAX_MESSAGE:
            message = f"{message[:MAX_MESSAGE]}... ({len(message):,} characters)"
        # A tool that says no is business; anything else is for whoever wrote it, with the place it came from.
        unforeseen = error is not None and not isinstance(error, ToolError)
        trace = {"exception": self._context.redact(_trace(error))} if error and unforeseen else {}
        self._context.log.warning("tool failed", error=message, kind=kind.type_name(), retry=retry, **trace)
        detail: dict[str, Json] = {"attempts": self._context.attempt, "applied": applied}
        if after is not None:
            # The workflow waits and asks again: a timer of Temporal's retries would use up the step's attempts.
            detail["after"] = after.total_seconds()
        return ApplicationError(message, detail, type=kind.type_name(), non_retryable=not retry or after is not None)

    def _cause(self, error: Exception) -> Exception | None:
        """What Temporal shows as the cause, with its stack: not when it would show a secret, or is too long."""
        trace = _trace(error)
        return None if len(trace) > 10 * MAX_MESSAGE or self._context.knows_secret_in(trace) else error


async def _remember(
    store: ConversationStore, call_id: str, result: ToolResult, context: ActivityToolContext
) -> ToolResult:
    """Put the result where the next model call finds it, and a large one whole beside it. Without the store it goes
    into the history as it is, and the workflow supplies it."""
    try:
        is_part = context.tool == RESULT_READ.name
        part = None if is_part else await Results(store).keep_if_large(result.output)
        message = tool_message(call_id, result.output) if part is None else part_message(call_id, part)
        await store.put({digest(message): message.model_dump_json().encode()})
    except ConversationsUnavailable as error:
        context.log.warning("tool result not kept for the conversation", error=str(error))
        return result
    return result if part is None else result.model_copy(update={"output": None, "part": part})


def _has_default(schema: Json) -> bool:
    return isinstance(schema, dict) and "default" in schema


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _problems(error: ValidationError, *, with_values: bool) -> str:
    """Each mistake with its place, and the value when it may be shown: `total: 'abc' — should be a valid number`."""
    found: list[str] = []
    for problem in error.errors(include_url=False, include_context=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
        value = repr(problem["input"])
        shown = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
        message = problem["msg"].replace("Input should", "should")
        found.append((f"{place}: " if place else "") + (f"{shown} — " if with_values else "") + message)
    return "; ".join(found)
