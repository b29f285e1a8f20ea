"""A goal: a planner writes its steps, people may review them, and the plan changes when a step of it fails."""

import asyncio
from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.planning as planning
    import workflows.waiting as waiting
    from contracts.activities import CHECK_PLAN
    from contracts.base import Json
    from contracts.decisions import Decision
    from contracts.errors import (
        CriteriaNotMet,
        ErrorInfo,
        ExpressionFailed,
        OutputInvalid,
        PlanInvalid,
        Refused,
        StepError,
    )
    from contracts.plans import PLAN_SCHEMA, CheckedPlan, CheckPlan, Draft, PlanRecord, Proposal
    from contracts.process import GoalStep
    from contracts.tools import granted
    from language.expressions import as_text
    from workflows.calls import Call, call_engine
    from workflows.children import is_stopped
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.steps.agent import ask_agent
    from workflows.steps.approval import ask_people, stop_as_rejected
    from workflows.steps.common import arguments
    from workflows.steps.group import run_scope


async def run_goal(engine: Engine, node: Node) -> Json:
    step = cast(GoalStep, node.step)
    record = _plan_of(node)
    if not record.revisions and record.draft is None:
        objective = as_text(engine.evaluate(node, step.goal))
        node.update(plan=record.model_copy(update={"objective": objective}))
        try:
            _keep_draft(node, await _draft(engine, node, {}, reason="the objective"))
        except StepError:
            _drop_change(node)
            raise
    # A change that a step of the plan asked for is that step's to finish.
    if not record.revisions or node.record.error is not None:
        if not await _is_agreed(engine, node):
            _refused(engine, node)
            return None
        _adopt(engine, node)
    scope = node.inner or engine.plan.open_steps(node, _plan_of(node).steps)
    await run_scope(engine, node, scope)
    output = _plan_of(node).output
    if output is not None:
        inside = next(iter(scope.nodes.values()))
        return engine.evaluate(inside, output)
    return {name: inner.record.output for name, inner in scope.nodes.items()}


async def replan(
    engine: Engine, node: Node, error: ErrorInfo, *, itself: bool = False, ordered: str | None = None
) -> ErrorInfo | None:
    """Have the rest of a plan changed because a step of it failed, or what it came to was not the goal.

    `itself`: the goal's own result failed. `ordered`: who wants it and why, when it is an operator who does; the bound
    on changes then does not hold.

    Returns:
        None when the step has settled, or starts anew; else the failure with why the plan could not be changed.
    """
    goal = node if itself or (ordered and node.is_goal) else node.holder.owner
    if goal is None or goal.inner is None or not isinstance(goal.step, GoalStep) or not goal.is_goal:
        node.start_afresh(plan=None)
        return None
    scope = goal.inner
    if _is_changed_for_another(engine, goal, node):
        # Should the run continue as new meanwhile, it is this failure that goes on.
        node.update(status="attention", error=error)
        while _is_changed_for_another(engine, goal, node):
            await waiting.until(lambda: not _is_changed_for_another(engine, goal, node))
    if _plan_of(goal).failed not in (None, node.id):
        _drop_change(goal)
    record = _plan_of(goal)
    if ordered is None and record.draft is None and record.replans >= goal.step.replans:
        bound = f"its plan was changed {record.replans} times already, which is all that `replans` allows"
        return error.model_copy(update={"message": f"{error.message}; {bound}"})
    engine.replanning.add(scope)
    try:
        return await _replan(engine, goal, node, error, ordered)
    finally:
        engine.replanning.discard(scope)
        engine.launch_ready(scope)


def misses_itself(node: Node, error: ErrorInfo) -> bool:
    """Whether a goal's plan ran through, and what it came to is not what the goal asks for."""
    missed = error.type in (CriteriaNotMet.type_name(), OutputInvalid.type_name(), ExpressionFailed.type_name())
    return node.is_goal and node.inner is not None and missed


def _is_changed_for_another(engine: Engine, goal: Node, node: Node) -> bool:
    """Whether a change of the plan is under way for another failure, or was when the run continued as new and is still
    to go on."""
    if goal.inner in engine.replanning:
        return True
    other = engine.plan.nodes.get(_plan_of(goal).failed or node.id)
    return other is not None and other is not node and other.record.status == "attention"


async def _replan(engine: Engine, goal: Node, node: Node, error: ErrorInfo, ordered: str | None) -> ErrorInfo | None:
    # Should the run continue as new meanwhile, it is this failure that goes on, and this change.
    node.update(status="attention", error=error)
    goal.update(plan=_plan_of(goal).model_copy(update={"failed": node.id}))
    if any(each.record.tainted for each in (node, *node.all_inside())):
        goal.update(tainted=True)  # The planner is told what failed, and how.
    name = node.id if node is goal else node.id.removeprefix(f"{goal.id}.")
    record = _plan_of(goal)
    statuses = {key: (_status(inner), inner.record.output) for key, inner in _steps(goal).items()}
    try:
        if record.draft is None:
            reason = ordered or f"{name} failed: {error.message}"
            change = planning.change_of(record, statuses, _completed_inside(goal), name, error)
            draft = await _draft(engine, goal, change, reason=reason)
            _keep_draft(goal, draft, replans=record.replans + (ordered is None))
        is_agreed = await _is_agreed(engine, goal)
    except StepError as failed:
        _drop_change(goal)
        return error.model_copy(update={"message": f"{error.message}; the plan could not be changed: {failed}"})
    if not is_agreed:
        return _refused_change(engine, goal, node, error)
    if node is goal:
        node.start_afresh()
    elif not node.is_settled:
        # Before the change, so that it counts as begun; what needs it is held until then.
        engine.settle(node, "failed", error=error)
    _adopt(engine, goal)
    return None


async def _draft(engine: Engine, node: Node, change: dict[str, Json], reason: str) -> Draft:
    """A plan, or a change of one, that holds.

    Raises:
        PlanInvalid: the planner gave none, also after corrections; `detail` has its last plan and what is wrong.
        StepError: the planner failed.
    """
    name = cast(GoalStep, node.step).planner
    request = {**_request(engine, node), **change}
    known = _plan_of(node).proposal
    checked = CheckedPlan()
    for attempt in range(known.attempt if known else 1, planning.MAX_CORRECTIONS + 2):
        plan = await _proposed(engine, node, attempt, request)
        checked = await check_plan(engine, node, plan)
        if not checked.problems:
            return Draft(steps=checked.steps, output=checked.output, reason=reason, by=f"agent:{name}")
        request = {**request, **planning.correction(checked.problems, checked.text)}
    wrong = "; ".join(str(problem) for problem in checked.problems)
    raise PlanInvalid(
        f"{name} gave no plan that holds, also after {planning.MAX_CORRECTIONS} corrections: {wrong}",
        {"plan": checked.text, "problems": [str(problem) for problem in checked.problems]},
    )


async def _proposed(engine: Engine, node: Node, attempt: int, request: dict[str, Json]) -> Json:
    """What the planner gives at this attempt, or gave before the run continued as new.

    Raises:
        StepError: it gave nothing.
    """
    record = _plan_of(node)
    if record.proposal is not None and record.proposal.attempt == attempt:
        return record.proposal.plan
    tries = f"{len(record.revisions) + 1}.{attempt}" + (f"~{node.record.tries}" if node.record.tries else "")
    plan = await ask_agent(
        engine,
        node,
        cast(GoalStep, node.step).planner,
        child=f"{node.record.effect(engine.origin)}/plan-{tries}",
        task=f"{record.objective}\n\n{planning.GUIDE}",
        context=request,
        output=PLAN_SCHEMA,
    )
    if is_stopped():  # It came to its end as it was told to stop.
        raise asyncio.CancelledError
    # Nothing waits for its check before a run continues as new.
    node.update(plan=_plan_of(node).model_copy(update={"proposal": Proposal(attempt=attempt, plan=plan)}))
    return plan


async def check_plan(engine: Engine, node: Node, plan: Json) -> CheckedPlan:
    """Check a plan for a goal, a planner's or one that a person edited."""
    step = cast(GoalStep, node.step)
    definition = engine.definition
    agents = definition.process.agents
    request = CheckPlan(
        plan=plan,
        goal=step,
        agents={name: agents[name] for name in step.agents},
        tools={tool: definition.tools[tool] for tool in granted(step.tools, definition.tools)},
        outer=tuple(need.id.rpartition(".")[2] for need in node.needs),
        taken=tuple(name for name, inner in _steps(node).items() if _status(inner) != "pending"),
        state=tuple(engine.state.entries),
        tainted=_plan_of(node).tainted,
    )
    call = Call(f"{node.id}:check-{workflow.uuid4().hex[:8]}", f"{node.id}: does the plan hold?")
    async with engine.slots:
        return await call_engine(CHECK_PLAN, request, call)


async def check_edits(engine: Engine, decision: Decision) -> None:
    """Refuse edits of a plan that do not hold.

    Raises:
        Refused: with every mistake in the edited plan.
    """
    node = engine.waiting.get(decision.step)
    if node is not None and isinstance(node.step, GoalStep) and decision.edits is not None:
        checked = await check_plan(engine, node, decision.edits)
        if checked.problems:
            wrong = "\n".join(map(str, checked.problems))
            raise Refused(f"{node.id}: the edited plan does not hold:\n{wrong}")


async def _is_agreed(engine: Engine, node: Node) -> bool:
    """Whether people agree to the draft, where the goal asks for it; with their edits."""
    step = cast(GoalStep, node.step)
    draft = _plan_of(node).draft
    if step.review is None or draft is None:
        return True
    what = "Change the plan" if _plan_of(node).revisions else "Follow this plan"
    plan = planning.shown(draft)
    show: dict[str, Json] = {"plan": plan, "reason": draft.reason}
    state = await ask_people(
        engine, node, step.review, title=f"{what} for {_plan_of(node).objective}?", show=show, subject={"plan": plan}
    )
    if state.outcome == "rejected":
        return False
    if state.edits is not None:
        edited = await check_plan(engine, node, state.edits)
        if edited.problems:
            raise PlanInvalid("the edited plan does not hold: " + "; ".join(map(str, edited.problems)))
        _keep_draft(
            node, draft.model_copy(update={"steps": edited.steps, "output": edited.output, "by": node.record.by})
        )
    node.update(status="running")
    return True


def _refused(engine: Engine, node: Node) -> None:
    """What becomes of a goal whose plan people refused."""
    step = cast(GoalStep, node.step)
    if step.review is None or step.review.on_reject == "stop":
        stop_as_rejected(engine, node)
    else:
        engine.settle(node, "skipped", by=node.record.by)


def _refused_change(engine: Engine, goal: Node, node: Node, error: ErrorInfo) -> ErrorInfo | None:
    """What becomes of a failure after people refused the change of the plan that was to answer it."""
    step = cast(GoalStep, goal.step)
    _drop_change(goal)
    if step.review is not None and step.review.on_reject == "continue":
        goal.update(status="running")
        by = f" by {goal.record.by}" if goal.record.by else ""
        return error.model_copy(update={"message": f"{error.message}; the change of the plan was refused{by}"})
    if node is not goal and not node.is_settled:
        engine.settle(node, "failed", error=error)
    stop_as_rejected(engine, goal)
    return None


def _adopt(engine: Engine, node: Node) -> None:
    """Take the draft: what has begun stays, what has not gives way to it."""
    record = _plan_of(node)
    if record.draft is None:
        return
    kept = [name for name, inner in _steps(node).items() if _status(inner) != "pending"]
    step = cast(GoalStep, node.step)
    approved_by = node.record.by if step.review is not None else None
    revised = planning.revised(record, record.draft, kept, workflow.now(), approved_by)
    if node.inner is not None:
        for name, inner in list(_steps(node).items()):
            if name not in kept:
                engine.plan.plan_away(inner)
        engine.plan.add_steps(node.inner, record.draft.steps)
    node.update(plan=revised)
    engine.record.plan_changed(node.id, revised.revisions[-1])
    engine.touch()


def _steps(node: Node) -> dict[str, Node]:
    return node.inner.nodes if node.inner is not None else {}


def _completed_inside(goal: Node) -> dict[str, Json]:
    """What completed inside of steps that did not, or whose output says less."""
    steps = _steps(goal).values()
    inside = (part for step in steps for part in step.all_inside() if part.is_leaf and part.role != "ask")
    return {part.id.removeprefix(f"{goal.id}."): part.record.output for part in inside if part.record.order is not None}


def _status(node: Node) -> str:
    """`pending` for a step that has not begun, nor may be called by one that has, and so may be planned away."""
    if node.record.status != "pending":
        return node.record.status
    if node.is_at_work:
        return "running"
    return _status(node.stands_in_for) if node.stands_in_for is not None else "pending"


def _keep_draft(node: Node, draft: Draft, **changes: Json) -> None:
    node.update(plan=_plan_of(node).model_copy(update={"proposal": None, "draft": draft, **changes}))


def _drop_change(node: Node) -> None:
    node.update(plan=_plan_of(node).unchanged())


def _plan_of(node: Node) -> PlanRecord:
    return node.record.plan or PlanRecord()


def _request(engine: Engine, node: Node) -> dict[str, Json]:
    step = cast(GoalStep, node.step)
    definition = engine.definition
    return planning.request_for(
        step,
        _plan_of(node).objective,
        given=arguments(engine, node),
        agents={name: definition.process.agents[name] for name in step.agents},
        tools=[definition.tools[tool] for tool in granted(step.tools, definition.tools)],
        outputs={need.id.rpartition(".")[2]: need.record.output for need in node.needs},
        depth=step.depth,
    )
