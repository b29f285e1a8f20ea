"""What agents of a run ask people: each an approval inside the agent's step, answered to whoever asked."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.asks import Answer, Ask, Withdrawal
    from contracts.base import Json
    from contracts.errors import Refused
    from contracts.names import ANSWER_SIGNAL
    from contracts.run import ApprovalState
    from workflows.engine import Engine
    from workflows.messages import parse
    from workflows.plan import Node
    from workflows.steps.approval import ask_people, decision_of, stop_as_rejected


def take(engine: Engine, model: type[Ask] | type[Withdrawal], payload: tuple[Json, ...]) -> None:
    """What an agent signals. What cannot be read, no agent has sent, and nobody waits for."""
    try:
        message = parse(model, payload)
    except Refused as error:
        workflow.logger.warning("nothing is asked: %s", error)
        return
    if isinstance(message, Ask):
        _open(engine, message)
    else:
        _withdraw(engine, message)


def _open(engine: Engine, ask: Ask) -> None:
    """Ask people for an agent. One whose step does not go on gets no answer: it is stopped."""
    node = engine.plan.nodes.get(ask.step)
    if node is None or node.record.status != "running" or node.dropped or engine.ending is not None:
        workflow.logger.warning("%s asks for %s, which does not go on", ask.workflow_id, ask.step)
        return
    node.update(asked=node.record.asked + 1)
    asked = engine.plan.open_ask(node, node.record.asked, ask)
    engine.spawn(asked, engine.perform(asked))
    engine.touch()


def _withdraw(engine: Engine, withdrawal: Withdrawal) -> None:
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
        engine.spawn(asked, engine.perform(asked))


async def run_ask(engine: Engine, node: Node) -> Json:
    """Ask people, and tell the agent what they say."""
    ask = _ask_of(node)
    state = await ask_people(
        engine, node, ask.approve, title=ask.title, show=ask.show, subject=ask.subject, names=ask.names
    )
    output = decision_of(state)
    if state.outcome == "rejected" and ask.stops:
        stop_as_rejected(engine, node)
    else:
        await _answer(ask, state, output)
    return output


async def _answer(ask: Ask, state: ApprovalState, output: dict[str, Json]) -> None:
    answer = Answer(
        id=ask.id,
        outcome=state.outcome or "rejected",
        by=output["by"],
        comment=output["comment"],
        edits=state.edits,
    )
    try:
        await workflow.get_external_workflow_handle(ask.workflow_id).signal(ANSWER_SIGNAL, answer)
    except ApplicationError:
        workflow.logger.warning("%s has ended before it was answered", ask.workflow_id)


def _open_asks(node: Node) -> list[Node]:
    return [asked for asked in node.asks.nodes.values() if not asked.is_settled] if node.asks is not None else []


def _ask_of(node: Node) -> Ask:
    if node.record.ask is None:
        raise LookupError(f"{node.id} holds no question of an agent")
    return node.record.ask
