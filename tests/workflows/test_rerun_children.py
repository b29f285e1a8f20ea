"""Sub-processes of a run that is started again: what they did and nobody took back is not done once more unasked."""

import asyncio

import pytest

from contracts.names import MIGRATE
from tests.workflows.office import UNDO, Office, Run, effects

PARENT = f"""
    process: parent
    steps:
      a: {{tool: do.work, {UNDO}}}
      sub: {{process: child, needs: [a]}}
      stop: {{tool: do.work, needs: [sub], on_failure: fail}}
"""
FAILS_LAST = f"""
process: child
steps:
  x: {{tool: do.work, {UNDO}}}
  y: {{tool: do.work, needs: [x]}}
  z: {{tool: do.work, needs: [y], on_failure: fail}}
"""


async def undone(office: Office, text: str = PARENT, *, broken: str = "stop") -> Run:
    """A run that failed at this step and took back what it could."""
    office.broken.add(broken)
    run = await office.start(text)
    await run.failed()
    office.broken.clear()
    return run


def keys(office: Office, run: Run) -> list[str]:
    return [key.removeprefix(run.id) for key in office.keys]


async def test_what_a_sub_process_did_that_no_undo_took_back_is_done_once_more_by_order_only(office: Office) -> None:
    office.children["grandchild"] = office.definition("""
        process: grandchild
        steps: {w: {tool: do.work}}
    """)
    office.children["child"] = office.definition(f"""
        process: child
        state: {{seen: {{initial: 0}}}}
        steps:
          x: {{tool: do.work, {UNDO}}}
          y: {{tool: do.work, needs: [x]}}
          g: {{undo: {{tool: do.undo, with: {{of: g}}}}, steps: {{z: {{tool: do.work}}}}}}
          n: {{state: {{key: seen, set: 1}}}}
          deeper: {{process: grandchild, needs: [y]}}
    """)
    run = await undone(office)
    before = list(office.ledger)
    refused = await (await run.again()).failed()
    assert refused.startswith("Refused: sub/y (do.work), sub/deeper/w (do.work): what was done stands")
    assert "say so with --redo (`redo`)" in refused
    assert office.ledger == before
    await (await run.again(redo=True)).handle.result()
    assert [effects(office).count(step) for step in ("x", "y", "w", "g.z")] == [2, 2, 2, 2]
    assert len(set(office.keys)) == len(office.keys)


async def test_a_sub_process_of_which_all_was_taken_back_is_run_anew_unasked(office: Office) -> None:
    office.children["child"] = office.definition(f"""
        process: child
        steps: {{x: {{tool: do.work, {UNDO}}}, look: {{tool: do.look, needs: [x]}}, w: {{wait: 0s}}}}
    """)
    run = await undone(office)
    await (await run.again()).handle.result()
    assert effects(office) == ["a", "x", "a", "x", "stop"]


async def test_a_sub_process_that_failed_goes_on_and_does_what_stands_once_more_by_order_only(office: Office) -> None:
    office.children["child"] = office.definition(FAILS_LAST)
    run = await undone(office, PARENT.replace("needs: [a]}", "needs: [a], on_failure: fail}"), broken="z")
    before = list(office.ledger)
    assert (await (await run.again()).failed()).startswith("Refused: sub/y (do.work): what was done stands")
    assert office.ledger == before
    await (await run.again(redo=True)).handle.result()
    made = [key for key in keys(office, run) if not key.endswith("/undo")]
    assert made == ["/a", "/sub/x", "/sub/y", "/a^1", "/sub/x^1", "/sub/y^1", "/sub/z", "/stop"]


async def test_an_operator_is_told_what_a_retry_of_a_sub_process_does_once_more(office: Office) -> None:
    office.broken.add("z")
    office.children["child"] = office.definition(FAILS_LAST)
    run = await office.start(PARENT)
    incident = (await run.parked("sub")).incidents[0]
    retry = next(choice for choice in incident.actions if choice.action == "retry")
    assert retry.does == "start it anew, though what it did stands: sub/y (do.work)"
    await run.cancel()
    await run.failed()


async def test_a_sub_process_that_may_not_go_on_is_the_one_that_later_reruns_go_on_with(office: Office) -> None:
    office.broken.update(("undo x", "z"))
    office.children["child"] = office.definition(f"""
        process: child
        steps: {{x: {{tool: do.work, {UNDO}}}, z: {{tool: do.work, needs: [x], on_failure: fail}}}}
    """)
    run = await office.start(PARENT)
    child = office.run_of(f"{run.id}/sub")
    async with asyncio.timeout(60):
        while not office.calls["z"]:
            await asyncio.sleep(0.02)
    await child.parked("x")
    await child.handle.terminate("in the middle of it")
    for number in (2, 3):
        await run.parked("sub")
        await run.repair("sub", "abort", value={"undo": False})
        await run.failed()
        run = await run.again(number=number)
        said = (await run.parked("sub")).incidents[0].error.message
        assert "the run was stopped while it took back x" in said
    await run.cancel(undo=False)
    await run.failed()


@pytest.mark.parametrize("continues", [False, True])
async def test_what_a_sub_process_did_that_was_stopped_with_its_run_is_asked_about_too(
    office: Office, continues: bool
) -> None:
    office.children["child"] = office.definition(f"""
        process: child
        steps:
          x: {{tool: do.work, {UNDO}}}
          y: {{tool: do.work, needs: [x]}}
          w: {{wait: 1d, needs: [y]}}
    """)
    run = await office.start(PARENT)
    await run.until(lambda view: office.calls["y"] == 1)
    await office.run_of(f"{run.id}/sub").waiting("w")
    if continues:
        await run.handle.execute_update(MIGRATE, {"by": "user:op"})
    await run.cancel()
    await run.failed()
    assert effects(office, "undo") == ["x", "a"]
    assert (await (await run.again()).failed()).startswith("Refused: sub/y (do.work): what was done stands")
