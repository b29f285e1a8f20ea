"""A refusal quotes what was sent, and is no longer than the server takes and people read."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from uuid_utils import uuid7

from contracts.names import DECIDE, PROCESS_WORKFLOW, PUT_STATE
from contracts.plain import MAX_MESSAGE, MAX_REASON
from language.schema import MAX_QUOTED
from tests.workflows.office import Office

STRANGE: Mapping[str, Any] = {f"key{number}": 1 for number in range(10_000)}
"""Each of these keys is named as one that a decision does not have."""
LARGE = "x" * 3_000_000


@pytest.mark.parametrize(
    ("update", "sent", "why"),
    [
        (DECIDE, STRANGE, "this is no decision: step: Field required"),
        (DECIDE, {"step": "ok", "decision": "approve", "by": "user:ada", "edits": {"a": LARGE}}, "a: "),
        (PUT_STATE, {"key": "n", "value": LARGE, "version": 0, "by": "user:ada"}, "state.n cannot be "),
    ],
)
async def test_what_does_not_hold_is_refused_however_large_it_is(
    office: Office, update: str, sent: Mapping[str, Any], why: str
) -> None:
    run = await office.start("""
        process: refusing
        state: {n: {schema: {type: number}}}
        steps:
          ok:
            approval:
              title: Go?
              from: [{any_of: [user:ada]}]
              edits: {type: object, properties: {a: {type: number}}}
          go: {tool: do.work, with: {what: "${ string(steps.ok.output.edits) }"}}
    """)
    await run.waiting("ok")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update(update, sent)
    assert why in str(refused.value.cause)
    assert len(str(refused.value.cause)) < 2 * MAX_MESSAGE
    assert await run.failed_tasks() == 0
    await run.handle.terminate()


async def test_what_is_kept_of_signals_that_do_not_hold_stays_small(office: Office) -> None:
    run = await office.start("process: refusing-signals\nsteps: {w: {wait: 1d}}")
    await run.waiting("w")
    await run.handle.signal(DECIDE, STRANGE)
    refused = (await run.until(lambda view: bool(view.refused))).refused
    assert ["step: Field required" in why for why in refused] == [True]
    assert len(refused[0]) < 2 * MAX_REASON
    await run.handle.terminate()


async def test_a_start_that_does_not_hold_fails_the_run_however_large_it_is(office: Office) -> None:
    process = "process: small\ninput: {type: object, properties: {a: {type: number}}}\nsteps: {w: {wait: 1d}}"
    why = await (await office.start(process, {"a": LARGE})).failed()
    assert why.startswith('InputInvalid: the input does not fit process small: a: "xxxx')
    assert why.endswith('xxxx" is not of type "number"')
    assert len(why) < 2 * MAX_QUOTED


async def test_a_start_that_cannot_be_read_fails_the_run_however_much_is_wrong(office: Office) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        async with asyncio.timeout(60):
            await office.client.execute_workflow(
                PROCESS_WORKFLOW, STRANGE, id=f"strange-{uuid7()}", task_queue=office.queue
            )
    assert str(failed.value.cause).startswith("InputInvalid: process: Field required")


async def test_a_write_that_comes_too_late_is_told_so_however_large_the_value_is(office: Office) -> None:
    run = await office.start("process: late\nstate: {n: {}}\nsteps: {w: {wait: 1d}}")
    await run.waiting("w")
    put = {"key": "n", "value": LARGE, "version": 0, "by": "user:ada"}
    await run.handle.execute_update(PUT_STATE, put)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update(PUT_STATE, put)
    assert "StateConflict" in repr(refused.value.cause)
    assert await run.failed_tasks() == 0
    await run.handle.terminate()
