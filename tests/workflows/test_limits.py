"""Approvals of what a step is about to do, limits of a whole run, and inputs too large or of the wrong kind."""

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from contracts.errors import LimitReached
from tests.workflows.office import UNDO, Office, effects, statuses

ASK = "approve: {from: [{any_of: [user:ada, user:bob], count: 1}]}"


async def test_a_step_acts_only_after_somebody_approved_its_exact_arguments(office: Office) -> None:
    run = await office.start(f"""
        process: careful
        steps: {{pay: {{tool: do.work, with: {{what: "${{ string(1 + 1) }}"}}, {ASK}}}}}
    """)
    view = await run.waiting("pay")
    (waiting,) = view.waiting
    assert waiting.title == "do.work what=2"
    assert waiting.show == {"arguments": {"what": "2"}}
    assert effects(office) == []
    await run.decide("pay", "approve", "user:ada", hash=waiting.hash)
    await run.handle.result()
    assert office.ledger == [("do", "pay", "2")]


async def test_arguments_edited_at_the_approval_are_what_is_done_and_must_fit_the_tool(office: Office) -> None:
    run = await office.start(f"process: edited\nsteps: {{pay: {{tool: do.work, {ASK}}}}}")
    await run.waiting("pay")
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await run.decide("pay", "approve", "user:ada", edits={"wat": 1})
    assert "do not fit do.work" in str(raised.value.cause)
    await run.decide("pay", "approve", "user:ada", edits={"what": "less"})
    await run.handle.result()
    assert office.ledger == [("do", "pay", "less")]


async def test_a_refused_step_ends_the_run_or_is_skipped(office: Office) -> None:
    run = await office.start(f"process: refused\nsteps: {{pay: {{tool: do.work, {ASK}}}}}")
    await run.waiting("pay")
    await run.decide("pay", "reject", "user:ada", comment="no")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    skipping = ASK.replace("{from", "{on_reject: continue, from")
    run = await office.start(f"process: refused\nsteps: {{pay: {{tool: do.work, {skipping}}}}}")
    await run.waiting("pay")
    await run.decide("pay", "reject", "user:ada", comment="no")
    await run.handle.result()
    assert statuses(await run.view()) == {"pay": "skipped"}
    assert effects(office) == []


async def test_other_arguments_are_asked_about_again(office: Office) -> None:
    run = await office.start(f"process: again\nsteps: {{pay: {{tool: do.work, with: {{fails: true}}, {ASK}}}}}")
    await run.waiting("pay")
    await run.decide("pay", "approve", "user:ada")
    await run.parked("pay")
    await run.repair("pay", "amend", value={"what": "other"})
    view = await run.waiting("pay")
    assert view.waiting[0].show == {"arguments": {"what": "other"}}
    await run.decide("pay", "approve", "user:bob")
    await run.handle.result()
    assert office.ledger == [("do", "pay", "other")]


async def test_a_run_that_takes_longer_than_its_limit_ends_and_is_undone(office: Office) -> None:
    run = await office.start(f"""
        process: limited
        limits: {{time: 300ms}}
        steps:
          first: {{tool: do.work, {UNDO}}}
          long: {{wait: 1d, needs: [first]}}
    """)
    view = await run.until(lambda view: view.status == "undone")
    assert view.error is not None
    assert view.error.type == LimitReached.type_name()
    assert "limits.time" in view.error.message
    assert effects(office, "undo") == ["first"]


async def test_too_many_items_park_their_step_and_name_the_bound(office: Office) -> None:
    run = await office.start(
        'process: many\nsteps: {each: {tool: do.work, for_each: "${ input.items }"}}', {"items": [0] * 100_000}
    )
    view = await run.parked("each")
    assert "for_each over 100000 items; at most 10000" in view.incidents[0].error.message
    await run.repair("each", "complete", value=[])
    await run.handle.result()


async def test_a_view_leaves_out_what_is_too_large_and_has_it_for_the_step_alone(office: Office) -> None:
    run = await office.start(
        'process: bulky\nsteps: {big: {tool: do.work, with: {what: "${ input.text }"}}}', {"text": "x" * 100_000}
    )
    await run.handle.result()
    view = await run.view()
    assert view.steps[0].output["left_out"].endswith(" bytes")
    alone = await run.view({"step": "big"})
    assert alone.steps[0].output["what"] == "x" * 100_000


async def test_a_view_has_pages(office: Office) -> None:
    steps = "\n".join(f"  s{number}: {{wait: 0s}}" for number in range(25))
    run = await office.start(f"process: paged\nsteps:\n{steps}")
    await run.handle.result()
    first = await run.view({"limit": 10})
    last = await run.view({"limit": 10, "offset": 20})
    assert ([step.id for step in first.steps], first.next) == ([f"s{number}" for number in range(10)], 10)
    assert ([step.id for step in last.steps], last.next) == ([f"s{number}" for number in range(20, 25)], None)
