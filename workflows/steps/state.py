"""A state step: one write to the run's shared state, done by the run itself."""

from typing import cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import StepError
    from contracts.process import StateStep
    from language.expressions import as_text
    from workflows.engine import Engine
    from workflows.nodes import Node
    from workflows.taint import is_tainted


async def run_state(engine: Engine, node: Node) -> Json:
    write = cast(StateStep, node.step).state
    saw = engine.evaluate(node, write.if_version)
    if isinstance(saw, float) and saw.is_integer():
        saw = int(saw)
    if saw is not None and (not isinstance(saw, int) or isinstance(saw, bool)):
        raise StepError(f"if_version must be a version number; {write.if_version} gives {as_text(saw)[:200]}")
    operand = engine.evaluate(node, write.operand)
    node.update(started=node.record.started or workflow.now())
    tainted = is_tainted(engine, node, write.operand)
    node.update(tainted=tainted or engine.state.read(write.key).tainted)
    value = engine.state.write(
        write.key, write.operation, operand, saw=saw, by=f"step:{node.id}", at=workflow.now(), tainted=tainted
    )
    node.update(tainted=value.tainted)
    return value.model_dump(mode="json", exclude={"tainted"})
