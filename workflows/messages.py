"""What people say to a run: checked, taken at once, answered. A repeat with the same id gets the same answer."""

from typing import TypeVar

from pydantic import ValidationError
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.repairing as repairing
    from contracts.base import MAX_DEPTH, Contract, Json, Unreadable, nests_too_deep
    from contracts.decisions import Cancel, Decision, Receipt, Repair, subject_hash
    from contracts.errors import Refused
    from contracts.events import Delivery
    from contracts.migration import Migration
    from contracts.state import PutState, StateValue
    from workflows.deciding import check_decision, decide
    from workflows.engine import Engine
    from workflows.migrating import check_migration, migrate
    from workflows.steps.event import subscription_id

Message = Decision | Repair | Cancel | Migration | PutState
M = TypeVar("M", Decision, Repair, Cancel, Migration, PutState)
P = TypeVar("P", bound=Contract)


def parse(model: type[P], payload: tuple[Json, ...]) -> P:
    """The message in what was sent.

    Raises:
        Refused: it is no such message; every field that is wrong is named.
    """
    if len(payload) != 1:
        raise Refused(f"{len(payload)} payloads instead of one; send one {model.__name__.lower()} as a JSON object")
    if isinstance(payload[0], Unreadable):
        raise Refused(f"this is no {model.__name__.lower()}: {payload[0].why}")
    if nests_too_deep(payload[0]):
        raise Refused(f"this {model.__name__.lower()} is nested more than {MAX_DEPTH} levels deep; flatten it")
    try:
        return model.model_validate(payload[0])
    except ValidationError as error:
        raise Refused(f"this is no {model.__name__.lower()}: {in_words(error)}") from error


def readable(model: type[P], payload: tuple[Json, ...]) -> P | None:
    """What the engine's own workflows signal; of what they did not send there is nothing to answer."""
    try:
        return parse(model, payload)
    except Refused as error:
        workflow.logger.warning("a signal that nobody of the engine sent: %s", error)
        return None


def in_words(error: ValidationError) -> str:
    """Every field that is wrong, and how."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}" for item in error.errors())


def check(engine: Engine, message: Contract) -> None:
    """Raises:
    Refused: the message does not hold; why, and what holds instead.
    """
    if isinstance(message, Message) and is_known(engine, message):
        return
    if isinstance(message, Decision):
        check_decision(engine, message)
    elif isinstance(message, Repair):
        repairing.check_repair(engine, message)
    elif isinstance(message, Migration):
        check_migration(engine, message)
    elif isinstance(message, Cancel) and engine.ending is not None:
        raise Refused(f"the run is ending already: {engine.ending.error.message}")


def is_known(engine: Engine, message: Message) -> bool:
    """Whether a message with this id was taken already; it gets the same answer.

    Raises:
        Refused: the id was used, and for something else.
    """
    if message.id is None or message.id not in engine.seen:
        return False
    if engine.said.get(message.id, _digest(message)) != _digest(message):
        raise Refused(f"the id {message.id} was used for something else already; give this one an id of its own")
    return True


def preview(engine: Engine, said: Repair) -> Receipt:
    """What a repair would come to.

    Raises:
        Refused: it does not hold.
    """
    repairing.check_repair(engine, said)
    return repairing.outcome(engine, said)


def take(engine: Engine, message: Message) -> Receipt | StateValue:
    """Take a message that `check` let through.

    Raises:
        StepError: a write to the shared state that came too late, or does not fit.
    """
    engine.messages += 1
    if message.id is not None and message.id in engine.seen:
        return engine.seen[message.id]
    receipt: Receipt | StateValue
    if isinstance(message, Decision):
        receipt = decide(engine, message)
    elif isinstance(message, Repair):
        receipt = repairing.repair(engine, message)
    elif isinstance(message, Migration):
        receipt = migrate(engine, message)
    elif isinstance(message, PutState):
        receipt = engine.state.write(
            message.key,
            "set",
            message.value,
            saw=message.version,
            by=message.by,
            at=workflow.now(),
            tainted=message.tainted,
        )
    else:
        receipt = repairing.cancel(engine, message)
    if message.id is not None:
        engine.seen[message.id] = receipt
        engine.said[message.id] = _digest(message)
    engine.touch()
    return receipt


def _digest(message: Message) -> str:
    return subject_hash(message.model_dump(mode="json"))


def deliver(engine: Engine, delivery: Delivery) -> None:
    """Hand an event to the step that waits for it; one that waits no more, or for another one, has no use for it."""
    node = engine.plan.nodes.get(delivery.step)
    if node is None or (node.record.amended and delivery.subscription != subscription_id(engine, node)):
        return
    if not node.is_settled and node.record.event is None:
        node.update(event=delivery.event, tainted=delivery.event.tainted)
        engine.touch()
