"""What agents of a run ask people: each an approval inside the agent's step, answered to whoever asked."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.asks import Answer, Ask, Withdrawal
    from contracts.base import Json
    from contracts.names import ANSWER_SIGNAL
    from contracts.record import ENGINE as BY_ITSELF
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.signals import tell
    from workflows.steps.approval import ask_people, decision_of, stop_as_rejected


def open_ask(engine: Engine, ask: Ask) -> None:
    """Ask people for an agent. One whose step does not go on gets no answer: it is stopped."""
    node = engine.plan.nodes.get(ask.step)
    if node is None or node.record.status != "running" or node.dropped or engine.ending is not None:
        workflow.logger.warning("%s asks for %s, which does not go on", ask.workflow_id, ask.step)
        return
    node.update(asked=node.record.asked + 1)
    asked = engine.plan.open_ask(node, node.record.asked, ask)
    _ask(engine, asked)
    engine.touch()


def withdraw(engine: Engine, withdrawal: Withdrawal) -> None:
    """Ask no longer what an agent does not wait for any more."""
    node = engine.plan.nodes.get(withdrawal.step)
    for asked in _open_asks(node) if node is not None else ():
        if asked.record.ask is not None and asked.record.ask.id == withdrawal.id:
            engine.drop(asked)


def withdraw_all(engine: Engine, node: Node) -> None:
    """The agent of a step has ended: nobody waits for what it asked."""
    for asked in _open_asks(node):
        engine.drop(asked)


def resume_asks(engine: Engine, node: Node) -> None:
    """Ask on for an agent that was at work when the run continued as new."""
    for asked in _open_asks(node):
        _ask(engine, asked)


async def run_ask(engine: Engine, node: Node) -> Json:
    """Ask people for an agent."""
    ask = _ask_of(node)
    state = await ask_people(
        engine, node, ask.approve, title=ask.title, show=ask.show, subject=ask.subject, names=ask.names
    )
    if state.outcome == "rejected" and ask.stops:
        stop_as_rejected(engine, node)
        return None
    return decision_of(state)


def _ask(engine: Engine, node: Node) -> None:
    engine.spawn(node, _ask_and_answer(engine, node))


async def _ask_and_answer(engine: Engine, node: Node) -> None:
    await engine.perform(node)
    if engine.ending is None:
        engine.drainable += 1  # A run that continued as new would not know that the agent is still to be told.
        try:
            await _answer(engine, node)
        finally:
            engine.drainable -= 1


async def _answer(engine: Engine, node: Node) -> None:
    """Tell the agent, also when an operator settled what could not be asked."""
    ask, output, state = _ask_of(node), node.record.output, node.record.approval
    said = output if isinstance(output, dict) else {}
    answer = Answer(
        id=ask.id,
        outcome="approved" if said.get("decision") == "approve" else "rejected",
        by=said.get("by") or node.record.by,
        comment=said.get("comment") or f"nobody could be asked; it was {node.record.status}",
        edits=said.get("edits") if state is not None else None,
    )
    if (more := ask.subject.get("more")) is not None and answer.outcome == "approved":
        given = more if answer.edits is None else answer.edits
        engine.record.add("budget.raised", by=answer.by or BY_ITSELF, step=ask.step, reason=answer.comment, more=given)
    try:
        await tell(workflow.get_external_workflow_handle(ask.workflow_id), ANSWER_SIGNAL, answer)
    except ApplicationError:
        workflow.logger.warning("%s has ended before it was answered", ask.workflow_id)


def _open_asks(node: Node) -> list[Node]:
    return [asked for asked in node.asks.nodes.values() if not asked.is_settled] if node.asks is not None else []


def _ask_of(node: Node) -> Ask:
    if node.record.ask is None:
        raise LookupError(f"{node.id} holds no question of an agent")
    return node.record.ask
