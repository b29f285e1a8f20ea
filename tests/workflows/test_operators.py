"""Who may repair and cancel a run: the role `operator`, which the directory holds."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.service import RPCError

from contracts.decisions import PARENT
from contracts.names import CANCEL, REPAIR
from contracts.record import ENGINE
from tests.workflows.office import UNDO, Office, Run, effects

PARKED = "process: guarded\nsteps: {a: {tool: do.work}, b: {tool: do.held}}"


async def parked(office: Office, **more: Any) -> Run:
    office.broken.add("a")
    run = await office.start(PARKED, **more)
    await run.parked("a")
    office.broken.clear()
    return run


async def completed(run: Run) -> None:
    run.office.gates["b"].set()
    assert (await run.handle.result()).status == "completed"


async def refusal(saying: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await saying
    assert getattr(refused.value.cause, "type", None) == "Refused"
    return str(refused.value.cause)


async def test_only_operators_repair_and_cancel_and_others_are_told_who_may(office: Office) -> None:
    office.operators = ("user:tom", "starter")
    run = await parked(office, started_by="user:sam")
    asked = "that is for role:operator (user:tom, the starter user:sam)"
    said = await refusal(run.repair("a", "retry", by="user:bob"))
    assert f"user:bob may not repair this run: {asked}" in said
    assert f"user:bob may not cancel this run: {asked}" in await refusal(run.cancel(by="user:bob"))
    assert (await run.view()).status == "attention"
    await run.repair("a", "retry", by="user:sam")
    await completed(run)


async def test_a_directory_without_the_role_lets_anyone_repair(office: Office) -> None:
    run = await parked(office)
    await run.repair("a", "retry", by="user:whoever")
    await completed(run)


async def test_a_repair_said_twice_gets_one_answer_and_asks_the_directory_once(office: Office) -> None:
    office.operators = ("user:tom",)
    run = await parked(office)
    once = await run.repair("a", "skip", by="user:tom", id="same")
    office.operators = ()
    assert await run.repair("a", "skip", by="user:tom", id="same") == once
    await completed(run)


async def test_a_signal_of_somebody_else_is_listed_as_refused(office: Office) -> None:
    office.operators = ("user:tom",)
    run = await parked(office)
    await run.handle.signal(CANCEL, {"by": "user:bob"})
    view = await run.until(lambda view: bool(view.refused))
    assert "user:bob may not cancel this run: that is for role:operator (user:tom)" in view.refused[0]
    await run.repair("a", "retry", by="user:tom")
    await completed(run)


@pytest.mark.parametrize("name", ["system:parent", ENGINE])
async def test_nobody_speaks_in_the_engines_name(office: Office, name: str) -> None:
    run = await parked(office)
    assert f"{name} is the engine itself" in await refusal(run.cancel(by=name))
    await run.handle.signal(CANCEL, {"by": name})
    view = await run.until(lambda view: bool(view.refused))
    assert f"{name} may not cancel" in view.refused[0]
    await run.repair("a", "retry")
    await completed(run)


async def test_a_parent_stops_its_sub_process_whoever_is_operator(office: Office) -> None:
    office.operators = ("user:tom",)
    office.children["guarded-child"] = office.definition(f"""
        process: guarded-child
        steps: {{x: {{tool: do.work, {UNDO}}}, w: {{wait: 1d, needs: [x]}}}}
    """)
    run = await office.start("process: guarded-parent\nsteps: {sub: {process: guarded-child}}")
    child = Run(office, office.client.get_workflow_handle(f"{run.id}/sub"))
    await run.until(lambda view: view.steps[0].status == "running" and view.steps[0].child is not None)
    async with asyncio.timeout(60):
        while "x" not in effects(office):
            await asyncio.sleep(0.02)
    await run.cancel(by="user:tom")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["x"]
    assert (await child.view()).status == "cancelled"


async def started(run: Run) -> None:
    """Until a sub-process is there: its id is known a moment before."""
    async with asyncio.timeout(60):
        while True:
            try:
                await run.handle.describe()
            except RPCError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_in_a_parents_name_nobody_does_more_than_a_parent_does(office: Office) -> None:
    """Anyone who can signal a sub-process can claim to be its parent."""
    office.operators = ("user:tom",)
    office.broken.add("x")
    office.children["broken-child"] = office.definition("process: broken-child\nsteps: {x: {tool: do.work}}")
    run = await office.start("process: its-parent\nsteps: {sub: {process: broken-child}}")
    child = Run(office, office.client.get_workflow_handle(f"{run.id}/sub"))
    await started(child)
    await child.parked("x")
    cases = (
        ({"step": "x", "action": "skip"}, "system:parent may not repair this run"),
        ({"action": "note", "reason": "hello"}, "system:parent may not note this run"),
    )
    for number, (said, why) in enumerate(cases):
        await child.handle.signal(REPAIR, {**said, "by": PARENT})
        refused = (await child.until(lambda view: len(view.refused) > number)).refused  # noqa: B023
        assert why in refused[number]
    await run.cancel(by="user:tom")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()


async def test_when_the_directory_cannot_tell_nobody_repairs(office: Office) -> None:
    run = await parked(office)
    office.unreadable = True
    assert "cannot be told, so it is refused: people.yaml cannot be read" in await refusal(run.repair("a", "retry"))
    office.unreadable = False
    await run.repair("a", "retry")
    await completed(run)
