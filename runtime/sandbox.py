"""The workflow sandbox: one place that says what workflows share with the rest of the process, and may not touch.

Worker and Replayer use the same runner, so that what replays in a test replays in production.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Any, cast

import structlog
from temporalio.bridge.proto.workflow_activation import RemoveFromCache, WorkflowActivation, WorkflowActivationJob
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker._workflow_instance import _WorkflowLogicFlag
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxMatcher, SandboxRestrictions

from runtime.questions import let_no_question_move

PASSED_THROUGH = ("contracts", "language", "cel", "jsonschema_rs", "structlog")
"""Pure, or made safe for replay. Passing them through also saves importing them again for every run."""

FORBIDDEN = frozenset({"activities", "api", "cli", "httpx2", "openai", "processes", "runtime", "sqlite3", "yaml"})
"""Clients and settings: a workflow that imports one of these is refused when the worker starts."""


LONGEST_TASK = 8
"""Seconds that a workflow task may take; after 10 the server gives it to another worker."""


LONGEST_FAREWELL = 5.0
"""Seconds that Core may take to close a worker that has ended all its work; it needs hundredths of one."""


ALL_AT_ONCE = _WorkflowLogicFlag.PROCESS_WORKFLOW_ACTIVATION_JOBS_AS_SINGLE_BATCH
"""A later SDK will have it so by itself. Histories say whether they were made so, and replay as they were."""


UPDATES_LAST = cast(_WorkflowLogicFlag, 1_000)
"""A flag of ours beside the SDK's, which have small numbers and are kept in histories by number."""


log = structlog.get_logger()


def patient(worker: Worker) -> Worker:
    """The worker, whose workflow tasks may take `LONGEST_TASK` seconds and are taken in as a whole before any of them
    is acted on, whose runs go on with such tasks only, and which never waits for Core for ever.

    The SDK takes a task for a deadlock after 2 s, which a plan of ten thousand steps can need on a machine that is busy
    with something else. It acts on the messages of a task before it looks at the results that came before them. And
    about one in 300 times its Core does not come back from closing a worker whose polls have ended and whose work is
    reported: a process that was told to stop would stay. Nor does it let go of the runs that are in memory then. The
    SDK has no public setting for any of it; tests notice when these names are gone.
    """
    inner = worker._workflow_worker
    if inner is not None:
        for flag in (ALL_AT_ONCE, UPDATES_LAST):
            inner._set_default_workflow_logic_flag(flag, enabled=True)
        if inner._deadlock_timeout_seconds is not None:  # None: in debug mode
            inner._deadlock_timeout_seconds = LONGEST_TASK
        let_no_question_move(worker)
    core = worker._bridge_worker
    close = core.finalize_shutdown

    async def closed_in_time() -> None:  # the SDK goes on when it raises: nothing is left to do
        try:
            if inner is not None:
                await asyncio.wait_for(_let_go(inner), LONGEST_FAREWELL)
        finally:
            await asyncio.wait_for(close(), LONGEST_FAREWELL)

    core.finalize_shutdown = closed_in_time  # type: ignore[method-assign]
    return worker


async def _let_go(worker: Any) -> None:
    """End the runs that a worker still has in memory, each in its own event loop, as when one makes room for another.

    The SDK leaves them to Python, which ends their coroutines wherever it comes upon them: what they do then to leave
    things in order, which asks the run for its time or ends a task, fails and says so at the end of each worker. A run
    that holds on keeps none of the others from going.
    """
    for run_id, running in worker._running_workflows.items():
        if running.deadlocked_activation_task is None:  # else it is still at work
            gone = WorkflowActivation(run_id=run_id, jobs=[WorkflowActivationJob(remove_from_cache=RemoveFromCache())])
            try:
                await asyncio.to_thread(running.activate, gone)
            except RuntimeError as error:  # tasks of it go on, says the SDK, and what each of them is at
                log.warning("a run does not let go", run=running.workflow_id, reason=str(error))


@dataclass(frozen=True)
class Runner(SandboxedWorkflowRunner):
    """The SDK's sandbox, which is not entered for what the SDK itself asks of a run.

    For each payload of each workflow task the SDK asks, twice on the way out, which activity or run it belongs to. It
    enters the sandbox for the answer, though no code of the workflow has a part in it: a sixth of a worker's CPU. There
    is no public setting for it; a test notices when these names are gone.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        made: Any = super().create_instance(det)
        inside: Any = made.globals_and_locals["__temporal_in_sandbox"].instance
        _accept_updates_last(inside)
        made.get_serialization_context = inside.get_serialization_context
        made.get_external_store_context = inside.get_external_store_context
        return cast("WorkflowInstance", made)


def _accept_updates_last(inside: Any) -> None:
    """Updates are accepted after all that came of the results in the same activation.

    Core may give a worker that takes a run over the results of a workflow task and then its updates, and both at once
    to those who replay it (github.com/temporalio/sdk-rust/issues/1146). The SDK accepts the updates first when it sees
    both, so that what was commanded would have another order then, and the run could not be replayed. Until then they
    count as not finished: a run that ended, or continued as new, without them would forget what it acknowledges.
    """
    apply, run_once, are_finished = inside._apply, inside._run_once, inside.workflow_all_handlers_finished
    held: list[Any] = []
    asked: list[Any] = [None, False]

    def is_on() -> bool:
        # Asked in every activation, and once: the history says from its beginning which way it was made.
        if asked[0] is not inside._current_completion:
            asked[:] = inside._current_completion, inside._workflow_logic_flag_enabled(UPDATES_LAST)
            held.clear()  # of an activation that failed
        return bool(asked[1])

    def hold_updates(job: Any) -> None:
        if is_on() and job.HasField("do_update"):
            held.append(job)
        else:
            apply(job)

    def run_results_first(*, check_conditions: bool, jobs: Any) -> None:
        if len(held) < len(jobs):
            run_once(check_conditions=check_conditions, jobs=jobs)
        if held:
            updates = held.copy()
            held.clear()
            for job in updates:
                apply(job)
            run_once(check_conditions=check_conditions, jobs=jobs)

    inside._apply, inside._run_once = hold_updates, run_results_first
    inside.workflow_all_handlers_finished = lambda: not held and are_finished()


def workflow_runner() -> SandboxedWorkflowRunner:
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    forbidden = SandboxMatcher(children=dict.fromkeys(FORBIDDEN, SandboxMatcher.all))
    return Runner(restrictions=replace(restrictions, invalid_modules=restrictions.invalid_modules | forbidden))
