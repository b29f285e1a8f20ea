"""What a step does, in a few words for a reader."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ExpressionFailed
    from contracts.plain import short
    from contracts.process import ApprovalStep, GroupStep, StateStep, Step, WaitStep
    from language.expressions import as_text
    from workflows.engine import Engine
    from workflows.nodes import Node


def title(step: Step) -> str:
    """What a step does, before its expressions are filled in."""
    match step:
        case _ if step.description:
            return step.description
        case ApprovalStep():
            return step.approval.title
        case StateStep():
            return f"{step.state.operation} state.{step.state.key}"
        case WaitStep():
            return "wait"
        case GroupStep():
            return ""
    return str(getattr(step, step.kind))


def title_of(engine: Engine, node: Node) -> str:
    """An approval's question filled in as far as that can be done by now; of a long one its beginning."""
    if node.record.approval is not None:
        return short(node.record.approval.title)
    if node.record.ask is not None:
        return short(node.record.ask.title)
    text = title(node.step)
    if not isinstance(node.step, ApprovalStep) or "${" not in text:
        return text
    try:
        return short(as_text(engine.evaluate(node, text)))
    except ExpressionFailed:
        return text
