"""The run's shared state: versions, policies for late writes, and the tools that agents use. On a real server."""

from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.faults.dice import Dice
from activities.faults.points import FaultPoints
from contracts.errors import StateConflict
from contracts.faults import Faults
from contracts.names import PUT_STATE, STATE_QUERY
from contracts.state import PutState, StateValue
from tests.workflows.office import Office, Run, open_office, statuses

HELD = "hold: {tool: do.held}"


async def put(run: Run, value: object, version: int = 0, by: str = "user:ada") -> StateValue:
    write = PutState(key="plan", value=value, version=version, by=by)
    written: StateValue = await run.handle.execute_update(PUT_STATE, write, result_type=StateValue)
    return written


async def policy(office: Office, name: str, initial: str) -> Run:
    return await office.start(f"""
        process: shared
        state: {{plan: {{initial: {initial}, on_conflict: {name}}}}}
        steps: {{{HELD}}}
    """)


async def end(office: Office, run: Run) -> None:
    office.gates["hold"].set()
    await run.handle.result()


async def test_each_operation_gives_the_new_value_and_version(office: Office) -> None:
    run = await office.start("""
        process: writes
        state: {list: {initial: [a]}, map: {initial: {x: {y: 1}}}}
        steps:
          one: {state: {key: n, add: 2}}
          two: {state: {key: n, add: 3}, needs: [one]}
          three: {state: {key: list, append: "${ state.n }"}, needs: [two]}
          four: {state: {key: map, merge: {x: {z: "${ size(state.list) }"}}}, needs: [three]}
          five: {state: {key: n, set: null}, needs: [four]}
        output: {two: "${ steps.two.output }", map: "${ state.map }", n: "${ state.n }"}
    """)
    output = (await run.handle.result()).output
    assert output == {
        "two": {"key": "n", "value": 5, "version": 2, "written": True},
        "map": {"x": {"y": 1, "z": 2}},
        "n": None,
    }


async def test_a_write_that_saw_an_old_version_is_rejected_with_the_newer_value(office: Office) -> None:
    run = await policy(office, "reject", "[a]")
    assert (await put(run, ["b"])).version == 1
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await put(run, ["c"], by="user:bob")
    assert isinstance(raised.value.cause, ApplicationError)
    assert raised.value.cause.type == StateConflict.type_name()
    assert raised.value.cause.details[0]["value"] == ["b"]
    assert (await put(run, ["c"], version=1, by="user:bob")).value == ["c"]
    entry = (await run.view()).state["plan"]
    assert (entry.version, entry.conflicts, entry.last_conflicts[0].by) == (2, 1, "user:bob")
    await end(office, run)


@pytest.mark.parametrize(
    ("name", "initial", "second", "holds", "written"),
    [
        ("last_wins", "[a]", ["c"], ["c"], True),
        ("first_wins", "[a]", ["c"], ["b"], False),
        ("merge", "[a]", ["c", "b"], ["b", "c"], True),
    ],
)
async def test_a_late_write_is_settled_by_the_keys_policy(
    office: Office, name: str, initial: str, second: object, holds: object, written: bool
) -> None:
    run = await policy(office, name, initial)
    await put(run, ["b"])
    late = await put(run, second, by="user:bob")
    assert (late.value, late.written) == (holds, written)
    assert (await run.view()).state["plan"].conflicts == 1
    await end(office, run)


async def test_a_late_step_parks_and_says_what_holds(office: Office) -> None:
    run = await office.start("""
        process: late-step
        steps:
          first: {state: {key: n, set: 1}}
          late: {state: {key: n, set: 2, if_version: 0}, needs: [first]}
    """)
    view = await run.parked("late")
    assert view.incidents[0].error.detail == {"key": "n", "value": 1, "version": 1, "saw": 0}
    await run.repair("late", "skip")
    await run.handle.result()


async def test_a_value_that_does_not_fit_the_schema_is_refused(office: Office) -> None:
    run = await office.start("""
        process: typed-state
        state: {n: {schema: {type: integer}}}
        steps: {write: {state: {key: n, set: many}, on_failure: continue}}
    """)
    await run.handle.result()
    view = await run.view()
    assert statuses(view)["write"] == "failed"
    assert view.state["n"].version == 0


async def test_the_same_write_sent_twice_is_one_write(office: Office) -> None:
    run = await policy(office, "reject", "null")
    write = PutState(key="plan", value=1, by="user:ada", id="once")
    answers = [await run.handle.execute_update(PUT_STATE, write, result_type=StateValue) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (await run.view()).state["plan"].version == 1
    await end(office, run)


async def test_tools_read_and_write_the_state_of_their_run(office: Office) -> None:
    run = await office.start("""
        process: by-tools
        state: {plan: {initial: one}}
        steps:
          read: {tool: state.get, with: {key: plan}}
          write: {tool: state.put, with: {key: plan, value: two, version: "${ steps.read.output.version }"}}
        output: {read: "${ steps.read.output.value }", now: "${ state.plan }", needs: "${ steps.write.status }"}
    """)
    assert (await run.handle.result()).output == {"read": "one", "now": "two", "needs": "completed"}
    assert (await run.handle.query(STATE_QUERY, "plan", result_type=StateValue)).version == 1


@pytest.mark.parametrize("name", ["reject", "merge"])
async def test_a_tools_write_whose_answer_is_lost_is_made_again_and_is_one_write(
    client: Client, tmp_path: Path, name: str
) -> None:
    lossy = FaultPoints(Dice(Faults(namespace="default", at=("*/write:lost",)), tmp_path / "faults.log"))
    async with open_office(client, interceptors=[lossy]) as office:
        run = await office.start(f"""
            process: by-a-lossy-tool
            state: {{plan: {{initial: [], on_conflict: {name}}}}}
            steps:
              write: {{tool: state.put, with: {{key: plan, value: [one]}}, on_failure: continue}}
        """)
        await run.handle.result()
        view = await run.view()
    (write,) = view.steps
    assert (write.status, write.attempts) == ("completed", 2)
    assert StateValue.model_validate(write.output) == StateValue(key="plan", value=["one"], version=1, written=True)
    assert (view.state["plan"].version, view.state["plan"].conflicts) == (1, 0)
