"""What a step's failure leads to: its `on_failure`, an incident, and what an operator does about one."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.steps.goal as goal
    from contracts.decisions import Repair
    from contracts.errors import Cancelled, ErrorInfo, OutcomeUnknown, StepError
    from contracts.process import Fallback
    from workflows.amending import amendment
    from workflows.ends import Ending, Known
    from workflows.engine import Engine
    from workflows.plan import Node, stand_in
    from workflows.standing_in import stand_in_of


async def deal_with(engine: Engine, node: Node, error: StepError) -> bool:
    """Settle a step that failed, have it mended, or leave the failure to its owner.

    Returns:
        Whether the step, unless it has settled, is to be tried once more.
    """
    engine.leave(node)
    info = error.info if isinstance(error, Known) else ErrorInfo.of(error)
    policy = node.step.on_failure
    if engine.ending is None and not node.dropped and goal.misses_itself(node, info):
        unplanned = await goal.replan(engine, node, info, itself=True)
        if unplanned is None:
            return True
        info = unplanned
    if ((engine.ending is not None or node.dropped) and not _must_be_undone(node, info)) or policy == "continue":
        engine.settle(node, "failed", error=info)
    elif policy == "fail":
        named = info.model_copy(update={"message": f"{node.id}: {info.message}"})
        engine.end(Ending("failed", named))
        engine.settle(node, "failed", error=info)
    elif policy == "ask" or info.type == OutcomeUnknown.type_name():
        await _ask(engine, node, info)
    elif node.role != "step" or _is_its_owners(node):
        node.start_afresh(error=info)
        node.holder.failure = info
        node.holder.settled.set()
        return False
    elif node.fallback is not None:
        await engine.fall_back(node, node.fallback, info)
    elif (unplanned := await goal.replan(engine, node, info)) is not None:
        await _ask(engine, node, unplanned)
    return True


def _must_be_undone(node: Node, info: ErrorInfo) -> bool:
    """Whether it may have had an effect that nobody would take back if it just settled."""
    detail = info.detail if isinstance(info.detail, dict) else {}
    may_have_happened = info.type == OutcomeUnknown.type_name() or bool(detail.get("uncertain"))
    return may_have_happened and node.step.undo is not None


def _is_its_owners(node: Node) -> bool:
    """Whether a step of a plan is inside a group of it: the plan changes by its own steps, not by parts of them."""
    return not isinstance(node.step.on_failure, Fallback) and node.holder.owner is not node.goal()


async def _ask(engine: Engine, node: Node, info: ErrorInfo) -> None:
    repaired = node.record.repaired
    pending = repaired.pending if repaired is not None else None
    repair = pending or await engine.park(node, info)
    if repair.action == "fallback":
        other = stand_in_of(engine.plan, node, repair.value)
        if node.fallback is not None and node.fallback is not other:
            engine.settle(node.fallback, "skipped")
        stand_in(node, other)
        node.update(fallback=other.id)
        await engine.fall_back(node, other, info, by=repair.by)
    elif repair.action == "replan":
        reason = f"{repair.by} wants another plan" + (f": {repair.reason}" if repair.reason else "")
        unplanned = await goal.replan(engine, node, info, ordered=reason)
        if repaired := node.record.repaired:
            node.update(repaired=repaired.model_copy(update={"pending": None}))
        if unplanned is not None:
            await _ask(engine, node, unplanned)
    else:
        _mend(engine, node, repair)


def _mend(engine: Engine, node: Node, repair: Repair) -> None:
    error = node.record.error
    match repair.action:
        case "skip":
            engine.settle(node, "skipped", error=error, by=repair.by)
        case "complete":
            engine.settle(node, "completed", output=repair.value, by=repair.by)
        case "amend":
            tries = node.record.tries + (repair.value is None)
            node.start_afresh(**amendment(engine, node, repair).changes, tries=tries, by=repair.by)
        case "abort":
            undo = not (isinstance(repair.value, dict) and repair.value.get("undo") is False)
            reason = f"aborted by {repair.by}" + (f": {repair.reason}" if repair.reason else "")
            cause = f"; {node.id} had failed: {error.message}" if error else ""
            stopped = ErrorInfo(type=Cancelled.type_name(), message=reason + cause)
            engine.end(Ending("failed", stopped, undo=undo, by=repair.by))
            engine.settle(node, "failed", error=error, by=repair.by)
        case _:
            node.start_afresh(tries=node.record.tries + 1, by=repair.by)
