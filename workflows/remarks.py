"""What people say to a run as a whole: that it is to pause, to go on, and notes for each other."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
    from contracts.decisions import PARENT, Receipt, Repair
    from contracts.errors import Refused
    from contracts.incidents import MAX_REMARKS, Paused, Remark
    from contracts.names import REPAIR
    from workflows.engine import Engine
    from workflows.signals import tell

MAX_TEXT = 2_000
"""Characters of a note."""


def check(engine: Engine, said: Repair) -> None:
    """Raises:
    Refused: it does not hold; why, and what holds instead.
    """
    if said.action == "note":
        _check_note(engine, said)
        return
    if said.step:
        raise Refused(f"{said.action} is about the whole run; leave the step {said.step!r} out")
    if engine.ending is not None:
        raise Refused(f"the run is ending already: {engine.ending.error.message}")
    if said.action == "pause" and engine.paused is not None:
        raise Refused(f"the run is paused already, by {engine.paused.by} at {engine.paused.at:%Y-%m-%d %H:%M} UTC")
    if said.action == "resume" and engine.paused is None:
        raise Refused("the run is not paused; it goes on")


def outcome(said: Repair) -> Receipt:
    words = {
        "pause": "the run is paused: no step starts, what is at work goes on to its end",
        "resume": "the run goes on",
        "note": "noted",
    }
    return Receipt(outcome=words[said.action], status=said.action)


def take(engine: Engine, said: Repair) -> None:
    now = workflow.now()
    if said.action == "pause":
        engine.pause(Paused(by=said.by, at=now, reason=said.reason))
        engine.record.add("run.paused", by=said.by, reason=said.reason)
    elif said.action == "resume":
        engine.resume()
        engine.record.add("run.resumed", by=said.by, reason=said.reason)
    else:
        step = said.step or None
        remark = Remark(at=now, by=said.by, text=said.reason, step=step)
        engine.remarks = (*engine.remarks, remark)[-MAX_REMARKS:]
        engine.record.add("run.note", by=said.by, step=step, reason=said.reason)


async def pass_on(engine: Engine, message: Contract) -> None:
    """Tell the sub-processes at work that the run is paused, or goes on: they are parts of it. Agents at work go on to
    the end of their step, as tools do."""
    if not isinstance(message, Repair) or message.action not in ("pause", "resume"):
        return
    children = [
        node.record.child
        for node in engine.plan.walk()
        if node.record.kind == "process" and node.record.status == "running" and node.record.child is not None
    ]
    why = f"{message.by} said so of {engine.run}" + (f": {message.reason}" if message.reason else "")
    said = Repair(action=message.action, by=PARENT, reason=why)
    for child in children:
        try:
            await tell(workflow.get_external_workflow_handle(child), REPAIR, said)
        except ApplicationError:
            workflow.logger.warning("%s has ended before it was told to %s", child, message.action)


def _check_note(engine: Engine, said: Repair) -> None:
    if said.step and said.step not in engine.plan.nodes:
        raise Refused(f"there is no step {said.step!r} to note something of; leave the step out for the run as a whole")
    if not said.reason.strip():
        raise Refused("a note needs a text; give it as the reason")
    if len(said.reason) > MAX_TEXT:
        raise Refused(f"a note has at most {MAX_TEXT} characters, this one {len(said.reason)}")
