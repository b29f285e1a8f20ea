"""One agent followed: its history read as it grows, and its calls under way."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    ActivityTaskScheduledEventAttributes,
    ActivityTaskStartedEventAttributes,
    HistoryEvent,
)
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from contracts.activities import CALL_MODEL
from contracts.agent import AgentResult
from contracts.base import Contract
from contracts.live import (
    Answered,
    CallWritten,
    LiveEvent,
    Retried,
    Said,
    Speech,
    TextAdded,
    ToolEnded,
    ToolStarted,
    TurnStarted,
)
from contracts.model import ModelReply, ModelRequest
from contracts.tools import ToolCall

PAGE = 200
MARGIN = 10
"""Events that may have come since a look at how many there are."""

LATE_EVENTS = 200
"""Events of an agent's past that are read by one who comes late."""

LONGER = "-longer"
"""What the id of a call ends with that is made once more with a higher cap."""

ENGINE = "surefoot."
"""What the names of the engine's own activities start with."""

C = TypeVar("C", bound=Contract)


class Feed:
    """Follows the runs of one workflow `Agent`, one after the other as it continues as new or is started afresh.

    `late`: it was at work before anybody looked, so that its far past is left out.
    """

    def __init__(self, client: Client, run: str, step: str, workflow_id: str, *, late: bool) -> None:
        self.workflow_id = workflow_id
        self._client = client
        self._place = {"run": run, "step": step}
        self._late = late
        self._run_id = ""
        self._begin("")

    def _begin(self, run_id: str) -> None:
        self._run_id = run_id
        self._read = 0
        self._scheduled: dict[int, ActivityTaskScheduledEventAttributes] = {}
        self._turns: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._heard = Speech(turn=0, attempt=0)

    async def look(self, found: WorkflowExecutionDescription) -> list[LiveEvent]:
        """What happened since the last look."""
        made: list[LiveEvent] = []
        if found.run_id != self._run_id:
            if self._run_id:
                made += await self._history(self._run_id, PAGE)
                self._late = False
            self._begin(found.run_id or "")
        if (new := found.history_length - self._read) > 0:
            made += await self._history(self._run_id, min(PAGE, new + MARGIN))
        for pending in found.raw_description.pending_activities:
            made += await self._under_way(pending)
        return made

    async def last(self) -> list[LiveEvent]:
        """What happened since the last look, to its end."""
        try:
            return await self.look(await self._client.get_workflow_handle(self.workflow_id).describe())
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return []  # it never started, or is no longer kept
            raise

    async def _history(self, run_id: str, page: int) -> list[LiveEvent]:
        made: list[LiveEvent] = []
        for event in await self._new_events(run_id, page):
            self._read = event.event_id
            made += await self._happened(event)
        return made

    async def _new_events(self, run_id: str, page_size: int) -> list[HistoryEvent]:
        """From the newest back to what was read before, in the order in which they happened."""
        found: list[HistoryEvent] = []
        token = b""
        while True:
            page = await self._client.workflow_service.get_workflow_execution_history_reverse(
                GetWorkflowExecutionHistoryReverseRequest(
                    namespace=self._client.namespace,
                    execution=WorkflowExecution(workflow_id=self.workflow_id, run_id=run_id),
                    maximum_page_size=page_size,
                    next_page_token=token,
                )
            )
            new = [event for event in page.history.events if event.event_id > self._read]
            found += new
            token = page.next_page_token
            enough = self._late and self._read == 0 and len(found) >= LATE_EVENTS
            if not token or enough or len(new) < len(page.history.events):
                return found[::-1]

    async def _happened(self, event: HistoryEvent) -> list[LiveEvent]:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                return await self._begun(event)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                began = event.activity_task_started_event_attributes
                call = self._scheduled.get(began.scheduled_event_id)
                return await self._retried(call, began) if call else []
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                done = event.activity_task_completed_event_attributes
                return await self._done(event, done.scheduled_event_id, done.result)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                failed = event.activity_task_failed_event_attributes
                return await self._failed(event, failed.scheduled_event_id, failed.failure)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                late = event.activity_task_timed_out_event_attributes
                return await self._failed(event, late.scheduled_event_id, late.failure)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                result = await self._decoded(event.workflow_execution_completed_event_attributes.result, AgentResult)
                at = _time(event)
                return [Answered(**self._place, at=at, output=result.output, turns=result.turns)] if result else []
        return []

    async def _begun(self, event: HistoryEvent) -> list[LiveEvent]:
        call = event.activity_task_scheduled_event_attributes
        name, at = call.activity_type.name, _time(event)
        if name == CALL_MODEL.name:
            request = await self._decoded(call.input, ModelRequest)
            self._scheduled[event.event_id] = call
            # A call with what the store had lost supplied again is the same turn.
            if request is None or request.purpose != "turn" or call.activity_id in self._turns:
                return []
            self._turns.add(call.activity_id)
            longer = call.activity_id.endswith(LONGER)
            return [TurnStarted(**self._place, at=at, turn=request.turn, longer=longer)]
        if name.startswith(ENGINE):
            return []
        self._scheduled[event.event_id] = call
        asked = await self._decoded(call.input, ToolCall)
        place = {**self._place, "turn": turn_of(call.activity_id), "call": call.activity_id, "tool": name}
        return [ToolStarted(**place, at=at, arguments=asked.args if asked else None)]

    async def _done(self, event: HistoryEvent, scheduled: int, result: Payloads) -> list[LiveEvent]:
        call = self._scheduled.pop(scheduled, None)
        if call is None:
            return []
        if call.activity_type.name != CALL_MODEL.name:
            return [self._tool_ended(event, call, None)]
        reply = await self._decoded(result, ModelReply)
        if reply is None or call.activity_id not in self._turns:
            return []
        self._turns.discard(call.activity_id)
        return [
            Said(
                **self._place,
                at=_time(event),
                turn=turn_of(call.activity_id),
                text=reply.message.content,
                calls=tuple(asked.name for asked in reply.message.tool_calls),
                model=reply.model,
                finish=reply.finish,
                tokens=reply.usage.tokens,
            )
        ]

    async def _failed(self, event: HistoryEvent, scheduled: int, failure: Failure) -> list[LiveEvent]:
        call = self._scheduled.pop(scheduled, None)
        if call is None or call.activity_type.name == CALL_MODEL.name:
            return []
        return [self._tool_ended(event, call, await self._reason(failure))]

    def _tool_ended(
        self, event: HistoryEvent, call: ActivityTaskScheduledEventAttributes, error: str | None
    ) -> LiveEvent:
        return ToolEnded(
            **self._place,
            at=_time(event),
            turn=turn_of(call.activity_id),
            call=call.activity_id,
            tool=call.activity_type.name,
            error=error,
        )

    async def _under_way(self, pending: PendingActivityInfo) -> list[LiveEvent]:
        name = pending.activity_type.name
        if name.startswith(ENGINE) and name != CALL_MODEL.name:
            return []
        made = await self._retried(pending, pending)
        if pending.activity_id in self._turns and pending.heartbeat_details.payloads:
            details = await self._client.data_converter.decode(pending.heartbeat_details.payloads)
            speech = Speech.among(details)
            if speech is not None and speech.attempt >= pending.attempt:
                made += self._speech(pending.activity_id, speech)
        return made

    async def _retried(
        self,
        call: ActivityTaskScheduledEventAttributes | PendingActivityInfo,
        tried: ActivityTaskStartedEventAttributes | PendingActivityInfo,
    ) -> list[LiveEvent]:
        """Told once of each attempt, whether it is seen under way or only afterwards."""
        if tried.attempt <= self._attempts.get(call.activity_id, 1):
            return []
        self._attempts[call.activity_id] = tried.attempt
        failed = tried.HasField("last_failure")
        reason = await self._reason(tried.last_failure) if failed else "the attempt before was lost"
        made = self._retry(call.activity_id, tried.attempt, reason)
        tool = None if call.activity_type.name == CALL_MODEL.name else call.activity_type.name
        due = None
        if isinstance(tried, PendingActivityInfo) and tried.HasField("next_attempt_schedule_time"):
            due = tried.next_attempt_schedule_time.ToDatetime(UTC)
        return [made.model_copy(update={"tool": tool, "next_at": due})]

    def _retry(self, call_id: str, attempt: int, reason: str) -> Retried:
        place = {**self._place, "turn": turn_of(call_id), "call": call_id}
        return Retried(**place, at=datetime.now(UTC), attempt=attempt, reason=reason)

    def _speech(self, call_id: str, speech: Speech) -> list[LiveEvent]:
        """What was said since it was last heard."""
        before = self._heard
        made: list[LiveEvent] = []
        same = (before.turn, before.attempt) == (speech.turn, speech.attempt)
        if same and speech.part != before.part and (before.length or before.calls):
            made.append(self._retry(call_id, speech.attempt, f"{before.model} failed; {speech.model} answers"))
        if not same or speech.part != before.part or speech.length < before.length:
            before = Speech(turn=speech.turn, attempt=speech.attempt)
        self._heard = speech
        place = {**self._place, "turn": speech.turn, "attempt": speech.attempt, "at": datetime.now(UTC)}
        if (new := speech.length - before.length) > 0:
            text = speech.tail[-new:]
            made.append(TextAdded(**place, text=text, skipped=new - len(text)))
        for index, call in enumerate(speech.calls):
            if index >= len(before.calls) or before.calls[index] != call:
                made.append(CallWritten(**place, index=index, tool=call.tool, arguments=call.tail))
        return made

    async def _reason(self, failure: Failure) -> str:
        error = await self._client.data_converter.decode_failure(failure)
        return str(getattr(error, "message", "") or error)

    async def _decoded(self, payloads: Payloads, kind: type[C]) -> C | None:
        found: Iterable[Any] = await self._client.data_converter.decode(payloads.payloads, [kind])
        return next((value for value in found if isinstance(value, kind)), None)


def turn_of(activity_id: str) -> int:
    """`turn-3`, `turn-3-longer` and `3.1-erp.read_order` are all of turn 3; 0 for what is of none."""
    digits = activity_id.removeprefix("turn-").partition(".")[0].partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def _time(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime(UTC)
