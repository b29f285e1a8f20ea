"""A run that goes on with one that ended: who may, what it begins with, what its record says of that."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import LOAD_RUN, EndedRun, LoadRun
    from contracts.errors import CallerError, ChildFailed, Refused, StepError
    from contracts.record import digest
    from contracts.run import Rerun, RunRequest, Snapshot
    from workflows.calls import Call, call_engine
    from workflows.engine import Engine
    from workflows.operators import check_operator
    from workflows.restarting import rerun_id, restart


async def loaded(request: RunRequest, again: Rerun) -> RunRequest:
    """The request of the ended run, with what of it is kept.

    Raises:
        ApplicationError: it may not be started again, or not so; nothing has been done.
    """
    try:
        return await _loaded(request, again)
    except (CallerError, StepError) as error:
        raise ApplicationError(str(error), type=error.type_name(), non_retryable=True) from error


async def _loaded(request: RunRequest, again: Rerun) -> RunRequest:
    call = Call("load_run", f"load {again.of}, which ended", priority=request.priority)
    try:
        ended = await call_engine(LOAD_RUN, LoadRun(run=again.of), call)
    except StepError as error:
        raise Refused(str(error)) from error
    old = ended.request
    if old.definition is None or old.snapshot is None:
        raise Refused(f"{again.of} has not begun, so that there is nothing to go on with")
    origin, number = old.origin or again.of, old.number + 1
    if workflow.info().parent is None:
        _check_place(ended, again, rerun_id(origin, number))
    elif request.input != old.input:
        raise ChildFailed(
            f"{again.of}, which this step started before, had another input, and what it did stands; complete the step "
            "by hand, or retry it, which starts another run beside that one"
        )
    await check_operator(old, again.by, "rerun")
    made = restart(old.definition, old.snapshot, again.from_, redo=again.redo)
    return old.model_copy(
        update={
            "input": old.input if request.input is None else request.input,
            "tainted": old.tainted or request.tainted,
            "priority": request.priority or old.priority,
            "rerun": again,
            "origin": origin,
            "number": number,
            "snapshot": Snapshot(
                started=workflow.info().start_time,
                accepted=workflow.info().workflow_start_time,
                records=made.records,
                completions=old.snapshot.completions,
                state=old.snapshot.state,
            ),
        }
    )


def as_request(engine: Engine) -> RunRequest:
    """The run as it goes on from here: after a continue-as-new, or as a rerun."""
    return engine.request.model_copy(update={"definition": engine.definition, "snapshot": engine.snapshot()})


def record(engine: Engine, again: Rerun) -> None:
    """The first event of the run's record."""
    nodes = [node for node in engine.plan.walk() if node.is_leaf and node.record.order is not None]
    engine.record.add(
        "run.started",
        by=again.by,
        reason=again.reason,
        process=engine.definition.process.process,
        version=engine.definition.process.version,
        definition=engine.definition.hash,
        input=digest(engine.request.input),
        rerun_of=again.of,
        kept=[node.id for node in nodes],
        redo=again.redo,
        **({"from": again.from_} if again.from_ is not None else {}),
    )


def _check_place(ended: EndedRun, again: Rerun, expected: str) -> None:
    """Raises:
    Refused: there is nothing to start again, or another run does.
    """
    if ended.part_of is not None:
        raise Refused(f"{again.of} is part of {ended.part_of}; start that again, or retry its step")
    if ended.is_completed:
        raise Refused(f"{again.of} completed; there is nothing to start again")
    if workflow.info().workflow_id != expected:
        raise Refused(f"the run that goes on with {again.of} has the id {expected}, so that there is one only")
