"""Calling activities: retry policies from the process, failures classified for whoever decides about them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import exceptions, workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, RetryState, TimeoutType

with workflow.unsafe.imports_passed_through():
    from contracts.activities import ActivityStub
    from contracts.base import Contract, Json, format_duration
    from contracts.errors import (
        AnswerRefused,
        ArgumentsInvalid,
        ChildFailed,
        ConversationTooLong,
        LimitReached,
        ModelFailed,
        OutcomeUnknown,
        OutputInvalid,
        Repeating,
        StepError,
        ToolFailed,
    )
    from contracts.process import Retry
    from contracts.tools import DEFAULT_TIMEOUT, ToolCall, ToolResult, ToolSpec
    from language.schema import violations

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""How soon a lost worker is noticed. Activities heartbeat by themselves every 3 seconds."""

DEFAULT_RETRY = Retry()

MAX_SUMMARY = 200
"""Bytes of a summary that Temporal keeps (its documented limit)."""

A = TypeVar("A", bound=Contract)
R = TypeVar("R", bound=Contract)

NOT_REGISTERED = "NotFoundError"
"""The type with which the SDK's worker refuses an activity that it does not have, naming all those that it has."""

_STEP_ERRORS: dict[str, type[StepError]] = {
    error.type_name(): error
    for error in (
        AnswerRefused,
        ArgumentsInvalid,
        ChildFailed,
        ConversationTooLong,
        LimitReached,
        ModelFailed,
        OutcomeUnknown,
        OutputInvalid,
        Repeating,
        ToolFailed,
    )
}


@dataclass(frozen=True)
class Call:
    """How one call is made: its place in the run, its bounds, how it shows in Temporal Web."""

    id: str
    summary: str
    retry: Retry | None = None
    timeout: timedelta | None = None
    deadline: timedelta | None = None
    priority: int | None = None

    def options(self, retry: Retry, timeout: timedelta) -> workflow.ActivityConfig:
        return workflow.ActivityConfig(
            activity_id=self.id,
            start_to_close_timeout=timeout,
            schedule_to_close_timeout=self.deadline,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=retry_policy(retry),
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
            summary=summary(self.summary),
            priority=Priority(priority_key=self.priority),
        )


def step_error(
    kind: str | None, message: str, detail: Json = None, *, default: type[StepError] = ToolFailed
) -> StepError:
    """The error of this type name, as it crossed Temporal."""
    return _STEP_ERRORS.get(kind or "", default)(message, detail)


def retry_policy(retry: Retry) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=retry.first,
        backoff_coefficient=retry.factor,
        maximum_interval=max(retry.first, retry.max),
        maximum_attempts=retry.attempts,
    )


def summary(text: str) -> str:
    """The text in the bytes Temporal keeps of a summary, cut at a character."""
    encoded = text.encode()
    return text if len(encoded) <= MAX_SUMMARY else encoded[: MAX_SUMMARY - 3].decode(errors="ignore") + "…"


async def call_engine(stub: ActivityStub[A, R], argument: A, call: Call) -> R:
    """Call one of the engine's own activities.

    Raises:
        StepError: it failed, after its retries; `detail["type"]` is the type it failed with.
    """
    try:
        options = call.options(call.retry or DEFAULT_RETRY, call.timeout or DEFAULT_TIMEOUT)
        return await _execute(stub.name, argument, stub.result, options)
    except ActivityError as error:
        raise failure(error, stub.name).as_error() from error


async def call_tool(spec: ToolSpec, arguments: ToolCall, call: Call) -> ToolResult:
    """Call a tool by the rules of its effect: reads and idempotent writes are retried with the same key; any other
    write is tried again only when it is known not to have happened, and reconciled by its `check` otherwise.

    Raises:
        ArgumentsInvalid: the arguments do not fit; nothing was called.
        OutcomeUnknown: the write may or may not have happened.
        StepError: it failed, after its retries; `detail` says how often it was tried.
    """
    if wrong := violations(spec.parameters, arguments.args):
        raise ArgumentsInvalid(f"{spec.name} cannot be called: {'; '.join(wrong)}", {"arguments": arguments.args})
    if not spec.repeatable:
        return await _call_once(spec, arguments, call)
    retry = call.retry or spec.retry or DEFAULT_RETRY
    began = workflow.now()
    while True:
        options = call.options(retry, call.timeout or spec.timeout or DEFAULT_TIMEOUT)
        try:
            return await _execute(spec.name, arguments, ToolResult, options)
        except ActivityError as error:
            failed = failure(error, spec.name, retry.attempts)
            if failed.after is None:
                raise failed.as_error() from error
            await _wait(call, failed, began)


async def _call_once(spec: ToolSpec, arguments: ToolCall, call: Call) -> ToolResult:
    retry = call.retry or spec.retry or DEFAULT_RETRY
    once = call.options(Retry(attempts=1), call.timeout or spec.timeout or DEFAULT_TIMEOUT)
    pause = retry.first
    began = workflow.now()
    attempt = 1
    while True:
        try:
            result = await _execute(spec.name, arguments, ToolResult, once)
            return result.model_copy(update={"attempts": attempt})
        except ActivityError as error:
            failed = failure(error, spec.name)
            if failed.after is not None:
                await _wait(call, failed, began)
                continue
            if failed.uncertain:
                found = await _reconcile(spec, arguments, call, failed)
                if found is not None:
                    return ToolResult(output=found, attempts=attempt)
            elif not failed.may_pass:
                raise failed.as_error() from error
            if attempt == retry.attempts:
                raise failed.as_error() from error
        attempt += 1
        await workflow.sleep(pause, summary=summary(f"{call.id}: next try of {spec.name}"))
        pause = min(pause * retry.factor, retry.max)


async def _wait(call: Call, failed: "Failure", began: datetime) -> None:
    """Until what the tool calls may be called again; that takes no attempt from the step.

    Raises:
        StepError: the call's deadline is before that.
    """
    after = timedelta(seconds=failed.after or 0)
    if call.deadline is not None and workflow.now() + after > began + call.deadline:
        raise failed.as_error()
    await workflow.sleep(after, summary=summary(f"{call.id}: {failed.message}"))


async def _reconcile(spec: ToolSpec, arguments: ToolCall, call: Call, failed: "Failure") -> Json:
    """The result of a write that turns out to have happened, or None when it did not."""
    unknown = (
        f"{failed.message}. Whether {spec.name} took effect is unknown (key {arguments.key}); "
        "it is not repeated on its own"
    )
    if spec.check is None:
        raise OutcomeUnknown(unknown, {"key": arguments.key, "arguments": arguments.args})
    check = Call(f"{call.id}:check", f"{call.id}: did {spec.name} happen?", priority=call.priority)
    try:
        result = await _execute(spec.check, arguments, ToolResult, check.options(Retry(), DEFAULT_TIMEOUT))
    except ActivityError as error:
        detail = {"key": arguments.key, "arguments": arguments.args, "check": failure(error, spec.check).message}
        raise OutcomeUnknown(f"{unknown}, and {spec.check} could not tell", detail) from error
    return result.output


async def _execute(name: str, argument: Contract, result: type[R], options: workflow.ActivityConfig) -> R:
    answer: R = await workflow.execute_activity(name, argument, result_type=result, **options)
    return answer


@dataclass(frozen=True)
class Failure:
    """What an activity's failure means. `uncertain`: an effect may have happened all the same. `after`: seconds to wait
    before it may be called again, when that is all there is to it."""

    kind: type[StepError]
    message: str
    may_pass: bool
    uncertain: bool
    attempts: int
    type: str | None = None
    after: float | None = None

    def as_error(self) -> StepError:
        return self.kind(self.message, {"attempts": self.attempts, "uncertain": self.uncertain, "type": self.type})


def failure(error: ActivityError, name: str, allowed: int = 1) -> Failure:
    """Classify an activity's failure. `allowed`: the attempts it had, since a timeout does not say how many it took.

    Raises:
        asyncio.CancelledError: the workflow itself cancelled the activity.
    """
    cause = error.cause
    if isinstance(cause, CancelledError):
        raise asyncio.CancelledError from error
    if isinstance(cause, exceptions.TimeoutError):
        is_last = error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
        attempts = allowed if is_last else 1
        return Failure(ToolFailed, _timed_out(cause, name), may_pass=True, uncertain=True, attempts=attempts)
    if not isinstance(cause, ApplicationError):
        return Failure(ToolFailed, f"{name}: {cause or error}", may_pass=True, uncertain=True, attempts=1)
    detail: Mapping[str, Any] = next((item for item in cause.details if isinstance(item, Mapping)), {})
    return Failure(
        _STEP_ERRORS.get(cause.type or "", ToolFailed),
        _unknown(name) if cause.type == NOT_REGISTERED else cause.message,
        may_pass=not cause.non_retryable,
        uncertain=detail.get("applied", "unknown") == "unknown",
        attempts=int(detail.get("attempts", 1)),
        type=cause.type,
        after=detail.get("after"),
    )


def _unknown(name: str) -> str:
    return f"{name}: the worker does not know it; start it anew, with the folder of its process in SUREFOOT_PROCESSES"


def _timed_out(timeout: exceptions.TimeoutError, name: str) -> str:
    match timeout.type:
        case TimeoutType.HEARTBEAT:
            silent = format_duration(HEARTBEAT_TIMEOUT)
            return f"{name}: the worker that ran it was lost ({silent} without a sign of life)"
        case TimeoutType.SCHEDULE_TO_CLOSE:
            return f"{name}: its deadline passed"
        case _:
            return f"{name}: no answer within its timeout"
