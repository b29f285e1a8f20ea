"""A definition that a run was given, or that came to lie in its history, is not what the compiler made: the run fails
with one clear error, or waits in sight of its operator; no worker is harmed and no workflow task fails unseen."""

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue

from contracts.migration import Migration
from contracts.names import MIGRATE, PROCESS_WORKFLOW
from contracts.run import Definition, RunResult, definition_hash
from language.load import load_process
from runtime.stuck import why_stuck
from runtime.watch import Watch
from tests.workflows.office import Office, Run, effects

PROCESS = """
    process: poisoned
    steps:
      a: {tool: do.work, with: {what: "1"}}
      b: {tool: do.work, with: {what: "${ steps.a.output.what }"}}
"""
Poison = Callable[[dict[str, Any]], object]


async def start_with(office: Office, data: bytes) -> Run:
    """A run whose input are these bytes, as any program may send them."""
    run = f"poisoned-{uuid4()}"
    await office.client.workflow_service.start_workflow_execution(
        StartWorkflowExecutionRequest(
            namespace=office.client.namespace,
            workflow_id=run,
            workflow_type=WorkflowType(name=PROCESS_WORKFLOW),
            task_queue=TaskQueue(name=office.queue),
            input=Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)]),
            request_id=str(uuid4()),
        )
    )
    return office.run_of(run)


def as_input(definition: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"process": "poisoned", "input": {}, "definition": definition, **more}).encode()


def steps(definition: dict[str, Any]) -> Any:
    return definition["process"]["steps"]


def nested(levels: int) -> dict[str, Any]:
    step: dict[str, Any] = {"wait": "1s"}
    for _ in range(levels):
        step = {"steps": {"inner": step}}
    return step


ALTERED: dict[str, Poison] = {
    "its hash": lambda it: it.update(hash="0" * 64),
    "a circle of needs": lambda it: steps(it)["a"].update(needs=["b"]),
    "a need that is gone": lambda it: steps(it)["a"].update(needs=["gone"]),
    "a tool that is gone": lambda it: steps(it)["a"].update(tool="gone.tool"),
    "a fallback that is gone": lambda it: steps(it)["a"].update(on_failure={"fallback": "gone"}),
    "an agent that is gone": lambda it: steps(it).update(a={"agent": "gone", "task": "Work."}),
    "an expression that is none": lambda it: steps(it).update(a={"event": "some.topic", "match": "${ 1 + }"}),
    "a schema that is none": lambda it: it["process"].update(input={"type": 7}),
    "a schema from elsewhere": lambda it: it["process"].update(input={"$ref": "http://127.0.0.1:1/schema"}),
    "a tool with another schema": lambda it: it["tools"]["do.work"].update(parameters={"type": 7}),
    "another amount": lambda it: steps(it)["a"]["with"].update(what="1000000"),
}
UNREADABLE: dict[str, tuple[Poison, str]] = {
    "a key of another format": (lambda it: steps(it)["a"].update(frobnicate=1), "frobnicate"),
    "a kind of step of another format": (
        lambda it: steps(it).update(a={"frobnicate": 1}),
        "definition.process.steps.a",
    ),
    "no steps": (lambda it: it["process"].pop("steps"), "definition.process.steps"),
    "a version of another format": (lambda it: it.update(format=2), "definition.format"),
    "groups in groups without end": (lambda it: steps(it).update(a=nested(300)), "recursion limit exceeded"),
}


@pytest.fixture
def compiled(office: Office) -> dict[str, Any]:
    made: dict[str, Any] = office.definition(PROCESS).model_dump(mode="json")
    return made


async def test_what_the_compiler_made_runs(office: Office, compiled: dict[str, Any]) -> None:
    run = await start_with(office, as_input(compiled))
    assert (await run.handle.result()).status == "completed"


@pytest.mark.parametrize("altered", ALTERED)
async def test_a_definition_that_was_altered_fails_its_run(
    office: Office, compiled: dict[str, Any], altered: str
) -> None:
    poisoned = deepcopy(compiled)
    ALTERED[altered](poisoned)
    run = await start_with(office, as_input(poisoned))
    assert "it does not have the SHA-256 that it carries; start the run with `starter.py run`" in await run.failed()
    assert (await run.failed_tasks(), effects(office)) == (0, [])


@pytest.mark.parametrize("unreadable", UNREADABLE)
async def test_a_definition_that_cannot_be_read_fails_its_run(
    office: Office, compiled: dict[str, Any], unreadable: str
) -> None:
    poison, said = UNREADABLE[unreadable]
    poison(compiled)
    run = await start_with(office, as_input(compiled))
    assert said in await run.failed()
    assert (await run.failed_tasks(), effects(office)) == (0, [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"process": ', "EOF while parsing"),
        (b'{"process": "\xff"}', "invalid unicode"),
        (b'{"process": "poisoned", "input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit exceeded"),
        (b"7", "valid dictionary"),
    ],
    ids=["cut off", "not UTF-8", "nested without end", "a number"],
)
async def test_an_input_that_is_no_json_fails_its_run(office: Office, data: bytes, said: str) -> None:
    run = await start_with(office, data)
    assert said in await run.failed()
    assert await run.failed_tasks() == 0


async def test_a_schema_that_is_none_parks_its_step_though_the_hash_holds(office: Office, compiled: Any) -> None:
    """Of a compiler with a fault, or of somebody who makes the hash anew."""
    steps(compiled)["a"]["output"] = {"type": 7}
    compiled["hash"] = definition_hash(compiled)
    run = await start_with(office, as_input(compiled))
    view = await run.parked("a")
    assert "the schema itself does not hold" in view.incidents[0].error.message
    await run.repair("a", "skip")
    assert (await run.handle.result()).status == "completed"
    assert await run.failed_tasks() == 0


@pytest.mark.slow
async def test_what_cannot_be_played_waits_in_sight_of_its_operator_and_can_be_ended(
    office: Office, compiled: Any
) -> None:
    """The engine meets what no compiler makes: Temporal tries on, and `status` says what fails."""
    steps(compiled)["a"]["tool"] = "gone.tool"
    compiled["hash"] = definition_hash(compiled)
    run = await start_with(office, as_input(compiled))
    async with asyncio.timeout(60):
        while not await run.failed_tasks():
            await asyncio.sleep(0.05)
    assert await why_stuck(office.client, run.id) == "its worker fails at it, and tries on: 'gone.tool'"
    seen = await Watch(office.client, run.id).look()
    assert seen.silent == "its worker fails at it, and tries on: 'gone.tool'"
    other = await office.start(PROCESS)
    assert (await other.handle.result()).status == "completed"
    await run.handle.terminate()


async def test_a_run_is_not_moved_to_a_definition_that_was_altered(office: Office) -> None:
    run = await office.start("process: poisoned\nsteps: {w: {wait: 1d}, b: {tool: do.work, needs: [w]}}")
    await run.waiting("w")
    newer = office.definition("process: poisoned\nversion: 2\nsteps: {w: {wait: 1d}, c: {tool: do.work, needs: [w]}}")
    altered = newer.model_copy(update={"process": newer.process.model_copy(update={"version": 3})})
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update(MIGRATE, Migration(by="user:op", definition=altered))
    assert "does not have the SHA-256 that it carries" in str(refused.value.cause)
    assert await run.handle.execute_update(MIGRATE, Migration(by="user:op", definition=newer))
    await run.until(lambda view: view.version == 2)
    await run.cancel()


async def test_a_sub_process_whose_file_does_not_hold_any_more_parks_its_step(office: Office) -> None:
    def loaded(name: str) -> Definition:
        return load_process("process: part\nsteps: &all {a: {steps: *all}}", "part.yaml", tools={})

    office.children["part"] = office.definition("process: part\nsteps: {a: {tool: do.work}}")
    definition = office.definition("process: whole\nsteps: {sub: {process: part}}")
    office.load = loaded
    run = await office.start(definition)
    view = await run.parked("sub")
    assert "part.yaml:2:8: an anchor holds itself" in view.incidents[0].error.message
    office.load = None
    await run.repair("sub", "retry")
    assert (await run.handle.result()).status == "completed"


async def test_a_message_that_is_no_json_is_refused_or_dropped(office: Office) -> None:
    run = await office.start("process: deaf\nsteps: {ok: {approval: {title: Go?, from: [{any_of: [user:ann]}]}}}")
    await run.waiting("ok")
    garbage = Payload(metadata={"encoding": b"json/plain"}, data=b'{"step": ')
    raw = RawValue(garbage)
    await run.handle.signal("decide", raw)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update("decide", raw, result_type=RunResult)
    assert "this is no decision: it cannot be read: " in str(refused.value.cause)
    view = await run.until(lambda view: len(view.refused) == 1)
    assert "it cannot be read" in view.refused[0]
    await run.decide("ok", "approve", "user:ann")
    assert (await run.handle.result()).status == "completed"
    assert await run.failed_tasks() == 0
