"""Workflow `Process`: one run of a process, from its input to its output, through people, failures and restarts."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.details as details
    import workflows.failures as failures
    import workflows.gauges as gauges
    import workflows.messages as messages
    import workflows.migrating as migrating
    import workflows.recording as recording
    import workflows.rerunning as rerunning
    import workflows.view as view
    import workflows.waiting as waiting
    from contracts.activities import LOAD_PROCESS, LoadProcess
    from contracts.approval import names_starter
    from contracts.base import Json, Unreadable, format_duration
    from contracts.effects import UndoCall
    from contracts.errors import Cancelled, ErrorInfo, ExpressionFailed, InputInvalid, LimitReached, StepError
    from contracts.names import (
        PROCESS_ATTRIBUTE,
        PROCESS_WORKFLOW,
        STATUS_ATTRIBUTE,
        WAITS_FOR_ATTRIBUTE,
    )
    from contracts.record import END_KINDS, TEMPORAL, digest
    from contracts.record import ENGINE as BY_ITSELF
    from contracts.run import Cost, Definition, RunRequest, RunResult, RunStatus, is_altered
    from language.schema import violations
    from workflows.calls import Call, call_engine
    from workflows.ends import Ending
    from workflows.engine import Engine
    from workflows.inbox import Inbox
    from workflows.lasting import left
    from workflows.notices import Notices
    from workflows.restarting import redone_by_rerun
    from workflows.steps.actions import ACTIONS
    from workflows.taint import has_read, is_output_tainted
    from workflows.undo import undo_by_parent, undo_run

OVER = 5
"""A run continues as new when the server suggests it and nothing is on its way; at so many times the length or size it
had then, it starts nothing more until that is so. The server suggests at 4,096 events or 4 MiB, and ends a run at
51,200 events or 50 MiB."""
MAX_MESSAGES = 1_500
"""Updates of one run id after which it does not wait any longer; the server takes 2,000."""


@workflow.defn(name=PROCESS_WORKFLOW)
class ProcessWorkflow(Inbox):
    def __init__(self) -> None:
        super().__init__()
        self._undo: tuple[UndoCall, ...] = ()
        self._is_cancelled_by_temporal = False

    @workflow.run
    async def run(self, *payload: Json) -> RunResult:
        try:
            request = _read(payload)
            is_new = request.snapshot is None
            if request.rerun is not None and is_new:
                request = await rerunning.loaded(request, request.rerun)
            definition = await self._definition(request)
        except ApplicationError as error:
            self._not_started = error.message
            raise
        engine = Engine(workflow.info().workflow_id, request, definition, ACTIONS, failures.deal_with)
        self._engine = engine
        publisher = asyncio.create_task(self._publish(engine))
        engine.tasks.watch(publisher)
        self._notices = Notices(engine, request.snapshot.notices if request.snapshot else ())
        recorder = self._record(engine, is_new=is_new)
        engine.begin(engine.plan.root)
        await self._advance(engine)
        if engine.ending is None:
            self._try_output(engine)
        if engine.ending is not None:
            await _despite_cancel(self._take_back(engine, engine.ending))
        else:
            self._status = "completed"
        self._ended = workflow.now()
        await _despite_cancel(self._finish(engine, publisher, recorder))
        return RunResult(
            status=self._status,
            output=self._output,
            cost=Cost.of(engine.usage),
            usage=engine.usage,
            undo=self._undo,
            stands=left(engine.definition, engine.plan) if workflow.info().parent else (),
            tainted=is_output_tainted(engine),
            record=engine.record.mark,
        )

    # From start to end

    async def _definition(self, request: RunRequest) -> Definition:
        definition = request.definition
        if definition is None:
            call = Call("load_process", f"load {request.process}", priority=request.priority)
            try:
                definition = await call_engine(
                    LOAD_PROCESS, LoadProcess(process=request.process, input=request.input), call
                )
            except StepError as error:
                kind = error.detail["type"] or InputInvalid.type_name()
                raise ApplicationError(str(error), type=kind, non_retryable=True) from error
        if wrong := violations(definition.process.input, request.input):
            raise _invalid(f"the input does not fit process {request.process}: {'; '.join(wrong)}")
        if _hides_its_starter(request, definition) and workflow.patched("starter-is-known"):
            raise _invalid(
                f"process {request.process} says that whoever started a run may not approve it (`not_by: [starter]`), "
                'and nobody says who that is; add "started_by": "user:NAME" beside "process" and "input"'
            )
        return definition

    async def _advance(self, engine: Engine) -> None:
        """Until every step has settled, or the run is to end; continues as new on the way when its history is long."""
        is_due = gauges.is_suggested
        if engine.generation > 1 and workflow.patched("grows-before-it-continues"):
            is_due = gauges.doubled()
        try:
            while not engine.is_through():
                try:
                    await waiting.until(
                        lambda: engine.is_through() or is_due() or engine.migration is not None,
                        within=_time_left(engine),
                        summary="the run's limits.time",
                    )
                except TimeoutError:
                    engine.end(_out_of_time(engine))
                if not engine.is_through():
                    await self._continue_as_new(engine)
        except asyncio.CancelledError:
            self._is_cancelled_by_temporal = True
            stopped = ErrorInfo(type=Cancelled.type_name(), message="cancelled through Temporal")
            engine.end(Ending("cancelled", stopped, by=TEMPORAL))

    async def _continue_as_new(self, engine: Engine) -> None:
        """In a moment when nothing is on its way. Until that comes by itself, the run goes on as ever."""
        outgrown = gauges.outgrown(OVER)
        await waiting.until(
            lambda: (
                engine.is_through()
                or engine.is_drained
                or outgrown()
                or engine.messages > MAX_MESSAGES
                or engine.migration is not None
            )
        )
        engine.draining = True
        await waiting.until(lambda: engine.is_through() or engine.is_drained)
        await self._notices.pause()
        await waiting.until(workflow.all_handlers_finished)
        if not engine.is_through() and engine.is_drained:
            request = self._notices.carried_by(migrating.next_request(engine))
            workflow.continue_as_new(request, memo=_memo_of(request), initial_versioning_behavior=gauges.next_release())
        self._notices.resume()

    def _try_output(self, engine: Engine) -> None:
        what = "output"
        try:
            self._output = engine.evaluate_output()
            what = "undo"
            self._undo = undo_by_parent(engine) if workflow.info().parent else ()
        except ExpressionFailed as error:
            info = ErrorInfo(type=error.type_name(), message=f"{what}: {error}", detail=error.detail)
            engine.end(Ending("failed", info))

    async def _take_back(self, engine: Engine, ending: Ending) -> None:
        self._error = ending.error
        await engine.stop()
        undone = await undo_run(engine) if ending.undo else 0
        self._status = "undone" if undone and ending.status == "failed" else ending.status

    def _record(self, engine: Engine, *, is_new: bool) -> "asyncio.Task[None] | None":
        """Begin the record, or go on with it after a continue-as-new; what writes it while the run goes on."""
        request, process = engine.request, engine.definition.process
        if is_new and request.rerun is not None:
            rerunning.record(engine, request.rerun)
        elif is_new:
            engine.record.add(
                "run.started",
                by=request.started_by or BY_ITSELF,
                process=process.process,
                version=process.version,
                definition=engine.definition.hash,
                input=digest(request.input),
                **({"part_of": parent.workflow_id} if (parent := workflow.info().parent) else {}),
            )
        if not workflow.patched(recording.RECORD_PATCH):
            return None
        recorder = asyncio.create_task(recording.keep(engine, self._notices))
        engine.tasks.watch(recorder)
        return recorder

    async def _finish(
        self, engine: Engine, publisher: "asyncio.Task[None]", recorder: "asyncio.Task[None] | None"
    ) -> None:
        await waiting.until(workflow.all_handlers_finished)
        publisher.cancel()
        self._show(engine, self._status, [])
        if recorder is not None:
            await self._notices.end()
        self._end_record(engine)
        if recorder is not None:
            await recorder
        if self._is_cancelled_by_temporal:
            raise asyncio.CancelledError
        if self._error is not None:
            # A run that people or failures stopped ends so in Temporal too, whichever effects were taken back.
            raise ApplicationError(
                self._error.message,
                {
                    "status": self._status,
                    "usage": engine.usage.model_dump(mode="json"),
                    "tainted": has_read(engine),
                    "stands": redone_by_rerun(engine.definition, engine.snapshot()) if workflow.info().parent else (),
                    "record": engine.record.mark.model_dump(),
                },
                type=self._error.type,
                non_retryable=True,
            )

    def _end_record(self, engine: Engine) -> None:
        facts: dict[str, Json] = {"error": self._error.type} if self._error else {"output": digest(self._output)}
        if engine.usage.tokens:
            facts |= {"cost": engine.usage.cost, "tokens": engine.usage.tokens}
        engine.record.add(
            END_KINDS[self._status],
            by=engine.ending.by if engine.ending else BY_ITSELF,
            reason=self._error.message if self._error else "",
            **facts,
        )
        engine.record.is_complete = True

    # What Temporal shows

    async def _publish(self, engine: Engine) -> None:
        """Keep search attributes and details current: at most once per workflow task, whatever changed in it."""
        shown = -1
        status: tuple[RunStatus, list[str]] | None = None
        while self._ended is None:
            await waiting.until(lambda: engine.changes != shown)  # noqa: B023
            shown = engine.changes
            now = (view.live_status(engine), view.waits_for(engine))
            if now != status:
                status = now
                self._show(engine, *now)
            else:
                workflow.set_current_details(details.details(engine, now[0]))

    def _show(self, engine: Engine, status: RunStatus, waits_for: list[str]) -> None:
        workflow.upsert_search_attributes(
            [
                PROCESS_ATTRIBUTE.value_set(engine.definition.process.process),
                STATUS_ATTRIBUTE.value_set(status),
                WAITS_FOR_ATTRIBUTE.value_set(waits_for),
            ]
        )
        workflow.set_current_details(details.details(engine, status))


def _memo_of(request: RunRequest) -> dict[str, Any]:
    """What the server shows of a run without asking it, as far as whoever started it gave such."""
    definition = request.definition
    known = {"version": definition.process.version, "definition": definition.hash} if definition else {}
    return {name: known.get(name, value) for name, value in workflow.memo().items()}


def _read(payload: tuple[Json, ...]) -> RunRequest:
    if len(payload) != 1:
        raise _invalid(f'{len(payload)} inputs instead of one; start a run with {{"process": NAME, "input": {{...}}}}')
    if isinstance(payload[0], Unreadable):
        raise _invalid(f'{payload[0].why}; start a run with {{"process": NAME, "input": {{...}}}} as JSON')
    try:
        request = RunRequest.model_validate(payload[0])
    except ValidationError as error:
        if isinstance(payload[0], dict) and payload[0].get("snapshot") is not None:
            # Of a newer release, from which workers were rolled back: it waits for one that can read it.
            raise
        raise _invalid(f'{messages.in_words(error)}; start a run with {{"process": NAME, "input": {{...}}}}') from None
    if (
        request.snapshot is None
        and is_altered(payload[0].get("definition"))
        and workflow.patched("definition-is-whole")
    ):
        raise _invalid(
            f"the definition of process {request.process} is not the one that was compiled: it does not have the "
            "SHA-256 that it carries; start the run with `starter.py run`, or by the name of the process alone"
        )
    return request


async def _despite_cancel(work: Coroutine[Any, Any, None]) -> None:
    """Do this to its end, whoever cancels the workflow meanwhile: half an undo is worse than none."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    await task


def _hides_its_starter(request: RunRequest, definition: Definition) -> bool:
    return request.started_by is None and request.snapshot is None and names_starter(definition.process)


def _invalid(message: str) -> ApplicationError:
    return ApplicationError(str(InputInvalid(message)), type=InputInvalid.type_name(), non_retryable=True)


def _time_left(engine: Engine) -> timedelta | None:
    time = engine.definition.process.limits.time
    return None if time is None else max(timedelta(0), engine.started + time - workflow.now())


def _out_of_time(engine: Engine) -> Ending:
    time = format_duration(engine.definition.process.limits.time or timedelta(0))
    message = f"the run took longer than its limits.time of {time}"
    return Ending("failed", ErrorInfo(type=LimitReached.type_name(), message=message, detail={"limit": "time"}))
