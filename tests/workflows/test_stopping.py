"""Ends and second tries that are easy to get half right: cancels during an undo, sub-processes, odd messages."""

import asyncio
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.converter import PayloadCodec
from temporalio.exceptions import ApplicationError

from contracts.names import CANCEL, DECIDE
from contracts.settings import ModelAlias
from tests.endpoint import Answered, completion, open_endpoint
from tests.workflows.office import UNDO, Office, effects, open_office, statuses, stuck_in_undo


async def test_a_cancel_through_temporal_during_an_undo_does_not_cut_it_short(office: Office) -> None:
    run = await stuck_in_undo(office)
    await run.handle.cancel()
    office.broken.clear()
    await run.repair("b", "retry")
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == ["b", "a"]
    assert (await run.view()).status == "cancelled"


async def test_a_cancel_through_temporal_ends_the_run_as_cancelled_there_too(office: Office) -> None:
    run = await office.start(f"""
        process: cancelled-there
        steps: {{a: {{tool: do.work, {UNDO}}}, w: {{wait: 1d, needs: [a]}}}}
    """)
    await run.waiting("w")
    await run.handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert (await run.handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert effects(office, "undo") == ["a"]


@pytest.mark.parametrize("undo", [True, False])
async def test_a_sub_process_is_taken_back_or_left_as_its_parent_is(office: Office, undo: bool) -> None:
    office.children["waiting-child"] = office.definition(f"""
        process: waiting-child
        steps: {{x: {{tool: do.work, {UNDO}}}, w: {{wait: 1d, needs: [x]}}}}
    """)
    run = await office.start("""
        process: waiting-parent
        steps: {sub: {process: waiting-child}}
    """)
    await run.until(lambda view: bool(office.ledger))
    await run.cancel(undo=undo)
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()
    assert effects(office, "undo") == (["x"] if undo else [])


async def test_a_sub_process_tried_again_is_a_run_of_its_own(office: Office) -> None:
    office.children["failing-child"] = office.definition(f"""
        process: failing-child
        steps:
          x: {{tool: do.work, {UNDO}}}
          y: {{tool: do.work, needs: [x], on_failure: fail}}
        output: ${{ steps.x.output.key }}
    """)
    office.broken.add("y")
    run = await office.start("""
        process: trying-parent
        steps: {sub: {process: failing-child}}
        output: ${ steps.sub.output }
    """)
    await run.parked("sub")
    office.broken.clear()
    await run.repair("sub", "retry")
    assert (await run.handle.result()).output == f"{run.id}/sub~1/x"


async def test_a_child_that_somebody_cancelled_parks_its_step(office: Office) -> None:
    office.children["cancelled-child"] = office.definition("""
        process: cancelled-child
        steps: {x: {tool: do.work}, w: {wait: 1d, needs: [x]}}
    """)
    run = await office.start("""
        process: bereft-parent
        steps: {sub: {process: cancelled-child}}
    """)
    await run.until(lambda view: bool(office.ledger))
    await office.client.get_workflow_handle(f"{run.id}/sub").cancel()
    assert "somebody cancelled it" in (await run.parked("sub")).incidents[0].error.message


@pytest.mark.parametrize("arguments", [[], [{"step": "ok"}, {"step": "ok"}]], ids=["none", "two"])
async def test_messages_with_no_payload_or_two_are_refused_and_the_run_goes_on(
    office: Office, arguments: list[object]
) -> None:
    run = await office.start("""
        process: odd-messages
        steps: {ok: {approval: {title: Go?, from: [{any_of: [user:ann]}]}}}
    """)
    await run.waiting("ok")
    await run.handle.signal(DECIDE, args=arguments)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update(DECIDE, args=arguments)
    assert f"{len(arguments)} payloads instead of one" in str(refused.value.cause)
    await run.decide("ok", "approve", "ann")
    assert (await run.handle.result()).status == "completed"
    assert f"{len(arguments)} payloads" in (await run.view()).refused[0]


async def test_a_start_without_input_fails_with_the_way_out(office: Office) -> None:
    handle = await office.client.start_workflow("Process", id=f"{office.queue}-no-input", task_queue=office.queue)
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert "0 inputs instead of one; start a run with" in failed.value.cause.message


async def test_a_step_whose_deadline_passed_gets_it_anew_when_retried(office: Office) -> None:
    run = await office.start("""
        process: late
        steps:
          g: {deadline: 500ms, steps: {a: {tool: do.held}}}
          w: {deadline: 200ms, wait: 1d, on_failure: continue}
    """)
    await office.started["g.a"].wait()
    office.gates["g.a"].set()
    view = await run.until(lambda view: all(step.status in ("completed", "failed", "attention") for step in view.steps))
    states = {step.id: step.status for step in view.steps}
    assert states["w"] == "failed"
    if states["g"] == "attention":
        await run.repair("g", "retry")
    assert (await run.handle.result()).status == "completed"


async def test_a_for_each_that_failed_as_a_whole_is_completed_with_a_list(office: Office) -> None:
    run = await office.start("""
        process: whole-list
        steps: {each: {tool: do.work, for_each: "${ input.nothing }", output: {type: object, required: [id]}}}
        output: ${ steps.each.output }
    """)
    await run.parked("each")
    for action, value in (("amend", {"what": "x"}), ("complete", {"id": "x"}), ("complete", [{"no": 1}])):
        with pytest.raises(WorkflowUpdateFailedError):
            await run.repair("each", action, value=value)
    await run.repair("each", "complete", value=[{"id": "x"}])
    assert (await run.handle.result()).output == [{"id": "x"}]


LATE = "user:late"


class Reading(PayloadCodec):
    """Whoever is sent this name reads it when the gate opens."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        if any(LATE.encode() in payload.data for payload in payloads):
            self.begun.set()
            await self.gate.wait()
        return list(payloads)


def with_codec(client: Client, codec: PayloadCodec) -> Client:
    config = client.config()
    config["data_converter"] = replace(client.data_converter, payload_codec=codec)
    return Client(**config)


@pytest.mark.parametrize("ends", ["completes", "fails"])
@pytest.mark.parametrize("is_of_rerun", [False, True])
async def test_a_sub_process_that_ends_just_before_it_is_told_to_stop_is_taken_back(
    client: Client, ends: str, is_of_rerun: bool
) -> None:
    reading = Reading()
    async with open_office(with_codec(client, reading)) as office:
        fails = "" if ends == "completes" else ", success: '${ 1 > 2 }', on_failure: fail"
        office.children["quick"] = office.definition(f"""
            process: quick
            steps: {{x: {{tool: do.work, {UNDO}}}, y: {{tool: do.held, needs: [x]{fails}}}}}
        """)
        run = await office.start(f"""
            process: slow
            steps: {{first: {{tool: do.work, {UNDO}}}, sub: {{process: quick, needs: [first]}}}}
        """)
        child = client.get_workflow_handle(f"{run.id}/sub")
        await office.started["y"].wait()
        if is_of_rerun:
            await run.handle.terminate()
            run = await run.again()
            await run.until(lambda view: statuses(view)["sub"] == "running")
        office.operators = ("user:op", LATE)  # Who may cancel is asked for, and read late.
        await run.handle.signal(CANCEL, {"by": "user:op"})
        await reading.begun.wait()
        office.gates["y"].set()
        with suppress(WorkflowFailureError):
            await child.result()
        reading.gate.set()
        assert "cancelled by user:op" in await run.failed()
    assert effects(office, "undo") == (["sub", "first"] if ends == "completes" else ["x", "first"])


async def test_a_planner_that_ends_as_it_is_told_to_stop_does_not_keep_the_run(client: Client, tmp_path: Path) -> None:
    reading, answers = Reading(), threading.Event()
    plan = json.dumps({"steps": {"a": {"tool": "do.work"}}})
    with open_endpoint() as endpoint:
        endpoint.add(lambda asked: Answered(body=json.dumps(completion(asked, plan)), until=answers))
        models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
        async with open_office(with_codec(client, reading), home=tmp_path, models=models) as office:
            run = await office.start("process: planning\nsteps: {reach: {goal: Get there., tools: [do.work]}}")
            async with asyncio.timeout(60):
                while not endpoint.requests:
                    await asyncio.sleep(0.02)
            office.operators = ("user:op", LATE)
            await run.handle.signal(CANCEL, {"by": "user:op"})
            await reading.begun.wait()
            answers.set()
            await client.get_workflow_handle(f"{run.id}/reach/plan-1.1").result()
            reading.gate.set()
            async with asyncio.timeout(60):
                assert "cancelled by user:op" in await run.failed()
        assert office.ledger == []
