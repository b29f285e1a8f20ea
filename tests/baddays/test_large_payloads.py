"""Payloads over a limit, at every door: what is merely large is kept outside Temporal, what is too large or nested too
deep is refused or parks its step with a message, and no run is ended or held up by it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.converter import DataConverter
from temporalio.service import RPCError

from cli.values import read_value
from contracts.base import MAX_DEPTH, is_too_deep, nests_too_deep
from contracts.errors import InputInvalid
from contracts.names import PROCESS_WORKFLOW, PUT_STATE, WAITS_FOR_ATTRIBUTE
from contracts.tools import Tool, tool
from tests.workflows.office import Office, open_office

LARGE = "x" * 3_000_000
"""More than the server takes in one payload."""


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"in": value}
    return value


def more(office: Office) -> list[Tool[..., Any]]:
    @tool(name="give.large", effect="read")
    async def large(size: int) -> str:
        """Give so many characters."""
        return "x" * size

    @tool(name="give.nested", effect="read")
    async def deep(levels: int) -> Any:
        """Give a value of so many levels."""
        return nested(levels)

    return [large, deep]


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    async with open_office(client, more=more) as opened:
        yield opened


async def test_what_is_merely_large_goes_all_the_way(office: Office) -> None:
    """Input, result, argument, what people see and edit, the shared state, the output."""
    run = await office.start(
        """
        process: large
        steps:
          give: {tool: give.large, with: {size: 3000000}}
          take: {tool: do.work, with: {what: "${ steps.give.output }"}}
          keep: {state: {key: kept, set: "${ steps.take.output.what }"}}
          ok:
            needs: [keep]
            approval: {title: Go on?, show: {it: "${ input.it }"}, from: [{any_of: [user:ann]}]}
        output: ["${ state.kept }", "${ steps.ok.output.edits.it }"]
        """,
        {"it": LARGE},
    )
    await run.waiting("ok")
    await run.decide("ok", "approve", "user:ann", edits={"it": LARGE + "!"})
    result = await run.handle.result()
    assert result.output == [LARGE, LARGE + "!"]
    assert await run.failed_tasks() == 0
    assert max(len(stored.text) for stored in await office.records.read(run.id)) < 64_000


async def test_an_input_from_a_program_without_our_storage_is_refused_by_the_server(office: Office) -> None:
    plain = Client(office.client.service_client, data_converter=DataConverter.default)
    with pytest.raises(RPCError, match="size exceeds limit"):
        await plain.start_workflow(
            PROCESS_WORKFLOW, {"process": "large", "input": LARGE}, id="too-large", task_queue=office.queue
        )


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{tool: give.large, with: {size: 12000000}}", "give.large returned 12.0 MB, more than the 10.0 MB"),
        ("{tool: give.nested, with: {levels: 150}}", "give.nested returned a value nested more than 100 levels deep"),
        ("{tool: give.nested, with: {levels: 230}}", "give.nested returned a value nested more than 100 levels deep"),
        ("{tool: give.nested, with: {levels: 300}}", "give.nested returned what cannot be written as JSON"),
    ],
)
async def test_a_result_that_no_run_can_hold_parks_its_step(office: Office, step: str, said: str) -> None:
    run = await office.start(f"process: results\nsteps: {{give: {step}}}")
    view = await run.parked("give")
    assert said in view.incidents[0].error.message
    await run.repair("give", "complete", value="less")
    assert (await run.handle.result()).status == "completed"
    assert await run.failed_tasks() == 0


async def test_a_value_that_a_process_nests_ever_deeper_parks_the_step_that_goes_too_far(office: Office) -> None:
    steps = "\n".join(
        f"          s{number}: {{state: {{key: k, set: ['${{ steps.s{number - 1}.output }}']}}}}"
        for number in range(1, 130)
    )
    run = await office.start(f"""
        process: deeper
        steps:
          s0: {{state: {{key: k, set: [0]}}}}
{steps}
    """)
    view = await run.until(lambda view: bool(view.incidents))
    assert view.incidents[0].error.message == f"state.k would be nested more than {MAX_DEPTH} levels deep; flatten it"
    assert await run.failed_tasks() == 0
    await run.cancel()


@pytest.mark.parametrize("levels", [150, 197])
async def test_what_people_send_is_refused_when_it_is_nested_too_deep(office: Office, levels: int) -> None:
    run = await office.start("process: people\nsteps: {a: {tool: do.work, with: {fails: true}}}")
    await run.parked("a")
    for send in (
        run.repair("a", "complete", value=nested(levels)),
        run.repair("a", "amend", value=nested(levels)),
        run.decide("a", "approve", "user:ann", edits=nested(levels)),
        run.handle.execute_update(PUT_STATE, {"key": "k", "value": nested(levels), "by": "user:ann"}),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await send
        assert f"is nested more than {MAX_DEPTH} levels deep; flatten it" in str(refused.value.cause)
    assert await run.failed_tasks() == 0
    await run.cancel()


async def test_more_and_longer_names_than_an_index_holds_end_no_run(office: Office) -> None:
    """The server terminates a run whose search attribute is over 2,048 bytes."""
    asks = "\n".join(
        f"  ask_{number}: {{approval: {{title: Go?, from: [{{any_of: [user:{'n' * 150}-{number}]}}]}}}}"
        for number in range(30)
    )
    run = await office.start(f"process: asking\nsteps:\n  broken: {{tool: do.work, with: {{fails: true}}}}\n{asks}")
    view = await run.until(lambda view: len(view.waiting) == 30 and bool(view.incidents))
    assert {wait.who for wait in view.waiting} == {(f"user:{'n' * 150}-{number}",) for number in range(30)}
    shown = (await run.handle.describe()).typed_search_attributes.get(WAITS_FOR_ATTRIBUTE) or ()
    assert "operator" in shown
    assert 10 < len(shown) < 31
    await run.cancel()


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 230, 300, 5_000])
def test_a_value_of_the_command_line_is_refused_when_it_is_nested_too_deep(levels: int) -> None:
    with pytest.raises(InputInvalid, match=r"^--input: nested more than 100 levels deep; flatten it$"):
        read_value("[" * levels + "]" * levels, "--input")


def test_depth_is_what_nests_and_not_what_stands_side_by_side() -> None:
    assert not nests_too_deep([{"a": [1]}] * 1_000)
    assert not nests_too_deep(nested(MAX_DEPTH))
    assert nests_too_deep(nested(MAX_DEPTH + 1))
    assert not is_too_deep(b'"' + b"[" * 1_000 + b'"')
