"""What fails with a large value, or because of one, fails with one message, which is smaller than the server takes."""

from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from uuid_utils import uuid7

from contracts.decisions import MAX_COMMENT
from contracts.errors import UnknownProcess
from contracts.names import CANCEL, PROCESS_WORKFLOW, REPAIR
from contracts.plain import MAX_MESSAGE, MAX_REASON
from contracts.run import Definition
from tests.workflows.office import Office, Run
from workflows.ids import MAX_PLACE

SIZE = 3_000_000
LARGE = "x" * SIZE
FAIL = "on_failure: fail"
FETCH = f"fetch: {{tool: do.fetch, with: {{page: 1, size: {SIZE}}}}}"


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (
            f'{FETCH}\n  last: {{tool: do.work, with: {{what: "${{ input.m[steps.fetch.output] }}"}}, {FAIL}}}',
            "ExpressionFailed: last: ${ input.m[steps.fetch.output] } could not be evaluated: there is no field 'page",
        ),
        (
            f'{FETCH}\n  last: {{wait: {{until: "${{ steps.fetch.output }}"}}, {FAIL}}}',
            "StepError: last: wait.until: 'page 1 xxx",
        ),
        (
            f"{FETCH}\noutput: ${{ input.m[steps.fetch.output] }}",
            "ExpressionFailed: output: ${ input.m[steps.fetch.output] } could not be evaluated: there is no field",
        ),
    ],
)
async def test_an_expression_that_fails_on_a_large_value_fails_its_step(office: Office, steps: str, why: str) -> None:
    run = await office.start(f"process: failing\nsteps:\n  {steps}", {"m": {}})
    said = await run.failed()
    assert said.startswith(why)
    assert len(said) < 2 * MAX_MESSAGE
    assert await run.failed_tasks() == 0


async def test_a_failure_passes_up_through_sub_processes_however_much_it_quotes(office: Office) -> None:
    office.children["inner"] = office.definition(f"""
        process: inner
        input: {{type: object}}
        steps:
          {FETCH}
          last: {{tool: do.work, on_failure: fail, with: {{what: "${{ {{}}[steps.fetch.output] }}"}}}}
    """)
    run = await office.start("process: outer\nsteps: {sub: {process: inner, on_failure: fail}}")
    said = await run.failed()
    assert said.startswith("ChildFailed: sub: inner: last: ${ {}[steps.fetch.output] } could not be evaluated")
    assert len(said) < 2 * MAX_MESSAGE


async def test_a_long_name_in_a_value_that_does_not_fit_is_quoted_in_part(office: Office) -> None:
    process = "process: small\ninput: {type: object, additionalProperties: {type: number}}\nsteps: {w: {wait: 1d}}"
    said = await (await office.start(process, {LARGE: "one"})).failed()
    assert said.startswith("InputInvalid: the input does not fit process small: xxxx")
    assert said.endswith('xxxx: "one" is not of type "number"')
    assert len(said) < MAX_MESSAGE


async def test_a_process_that_does_not_exist_is_told_however_long_its_name_is(office: Office) -> None:
    def load(name: str) -> Definition:
        raise UnknownProcess(f"there is no process {name}; mend the name")

    office.load = load
    asked = {"process": "p" * 2 * SIZE}
    handle = await office.client.start_workflow(
        PROCESS_WORKFLOW, asked, id=f"unknown-{uuid7()}", task_queue=office.queue
    )
    said = await Run(office, handle).failed()
    assert said.startswith("UnknownProcess: there is no process pppp")
    assert said.endswith("pppp; mend the name")


@pytest.mark.parametrize(
    ("update", "sent"),
    [(CANCEL, {}), (REPAIR, {"step": "broken", "action": "abort"}), (REPAIR, {"action": "pause"})],
    ids=["cancel", "abort", "pause"],
)
async def test_a_reason_is_as_long_as_people_read(office: Office, update: str, sent: dict[str, Any]) -> None:
    run = await office.start("process: reasons\nsteps: {broken: {tool: do.work, with: {fails: true}}}")
    await run.parked("broken")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update(update, {**sent, "by": "user:op", "reason": LARGE})
    assert f"reason: String should have at most {MAX_COMMENT} characters" in str(refused.value.cause)
    await run.cancel(reason="r" * MAX_COMMENT)
    assert (await run.failed()).endswith("rr")


async def test_a_large_question_is_shown_in_part_and_can_be_rejected(office: Office) -> None:
    run = await office.start(f"""
        process: asking
        steps:
          {FETCH}
          ok: {{approval: {{title: "Go on with ${{ steps.fetch.output }}?", from: [{{any_of: [user:ada]}}]}}}}
    """)
    (asked,) = (await run.waiting("ok")).waiting
    assert len(asked.title) <= MAX_REASON
    (alone,) = (await run.view({"step": "ok"})).waiting
    assert alone.title.endswith("xxx?")
    await run.decide("ok", "reject", "user:ada", comment="too much")
    said = await run.failed()
    assert said.startswith("Rejected: ok: Go on with page 1")
    assert said.endswith("rejected by user:ada: too much")
    assert await run.failed_tasks() == 0


async def test_a_view_has_no_more_of_what_failed_than_of_other_values(office: Office) -> None:
    run = await office.start(f"""
        process: unfit
        steps:
          each:
            for_each: [1, 2, 3]
            tool: do.fetch
            with: {{page: "${{ item }}", size: {SIZE}}}
            output: {{type: number}}
    """)
    view = await run.parked("each[0]", "each[1]", "each[2]")
    assert len(view.model_dump_json()) < 100_000
    assert [incident.error.detail for incident in view.incidents] == [{"left_out": f"{SIZE + 13} bytes"}] * 3
    (alone,) = (await run.view({"step": "each[0]"})).steps
    assert alone.error is not None
    assert alone.error.detail == {"output": "page 1 ".ljust(SIZE, "x")}
    await run.cancel()


async def test_a_step_whose_id_leaves_no_room_for_those_of_what_it_calls_says_so(office: Office) -> None:
    """A planner may call it so, too."""
    name = "s" * (MAX_PLACE // 2)
    run = await office.start(f"process: nesting\nsteps: {{{name}: {{steps: {{{name}: {{tool: do.work}}}}}}}}")
    step = f"{name}.{name}"
    (incident,) = (await run.parked(step)).incidents
    assert incident.error.message.startswith(f"{run.id}/ssss")
    assert f"at most {MAX_PLACE} leave room" in incident.error.message
    await run.repair(step, "complete", value={"id": "done by hand"})
    await run.handle.result()
    assert await run.failed_tasks() == 0


async def test_a_run_with_the_longest_id_says_that_nothing_can_be_called_for_it(office: Office) -> None:
    run = await office.start("process: long\nsteps: {s: {tool: do.work, on_failure: fail}}", run="é" * 500)
    assert "has 1002 bytes" in await run.failed()
