"""The engine's own activities: name, input and result of each, for the workflows that call them.

Tools are activities too, under their own names, from `ToolCall` to `ToolResult`.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from contracts.base import Contract, Json
from contracts.events import Published, PublishEvent, Subscribed, Subscription
from contracts.model import ModelReply, ModelRequest
from contracts.notices import SendNotice, Sent
from contracts.people import People, ResolvePeople
from contracts.plans import CheckedPlan, CheckPlan
from contracts.record import WriteRecord, Written
from contracts.run import Definition, RunRequest, RunResult
from contracts.tools import Part

A = TypeVar("A", bound=Contract)
R = TypeVar("R", bound=Contract)


@dataclass(frozen=True)
class ActivityStub(Generic[A, R]):
    """An activity as a workflow knows it. A test holds every implementation to its stub."""

    name: str
    argument: type[A]
    result: type[R]


class LoadProcess(Contract):
    """Load a process by name and check a run's input against it.

    Fails with `UnknownProcess`, `DefinitionInvalid` or `InputInvalid`, none of them retried.
    """

    process: str
    input: Json = None


class AwaitRun(Contract):
    """Wait for a sub-process or agent that was started before its parent continued as new."""

    workflow_id: str


class LoadRun(Contract):
    """What is left of a run that ended, for one that goes on with it. Fails with `Refused` for one that has not ended,
    that never began or that Temporal does not keep any more; none of them is retried."""

    run: str


class EndedRun(Contract):
    """`request`: the run as it would have gone on. `part_of`: its parent."""

    request: RunRequest
    is_completed: bool
    part_of: str | None = None


class KeepResult(Contract):
    """Put the result of an agent's call, which was no activity, where the agent can read on in it."""

    output: Json


class Kept(Contract):
    """`part`: None when the result is not that large, or the store cannot be written now."""

    part: Part | None = None


class RetryNow(Contract):
    """Have the server make the next try of an activity at once, with all its attempts ahead."""

    workflow_id: str
    run_id: str
    activity_id: str


class RetriedNow(Contract):
    """`attempt`: the last one; None when there is no such activity. `was_waiting`: it was between two tries."""

    attempt: int | None = None
    was_waiting: bool = False


LOAD_PROCESS: Final = ActivityStub("surefoot.load_process", LoadProcess, Definition)
RESOLVE_PEOPLE: Final = ActivityStub("surefoot.resolve_people", ResolvePeople, People)
CALL_MODEL: Final = ActivityStub("surefoot.call_model", ModelRequest, ModelReply)
AWAIT_PROCESS: Final = ActivityStub("surefoot.await_process", AwaitRun, RunResult)
LOAD_RUN: Final = ActivityStub("surefoot.load_run", LoadRun, EndedRun)
KEEP_RESULT: Final = ActivityStub("surefoot.keep_result", KeepResult, Kept)
CHECK_PLAN: Final = ActivityStub("surefoot.check_plan", CheckPlan, CheckedPlan)
PUBLISH_EVENT: Final = ActivityStub("surefoot.publish_event", PublishEvent, Published)
SUBSCRIBE_STEP: Final = ActivityStub("surefoot.subscribe", Subscription, Subscribed)
NOTIFY: Final = ActivityStub("surefoot.notify", SendNotice, Sent)
WRITE_RECORD: Final = ActivityStub("surefoot.write_record", WriteRecord, Written)
RETRY_NOW: Final = ActivityStub("surefoot.retry_now", RetryNow, RetriedNow)
