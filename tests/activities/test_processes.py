import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from uuid_utils import uuid7

from activities.people.file import DirectoryFile
from activities.people.resolving import resolve_people_activity
from activities.processes import await_process_activity, load_process_activity
from contracts.activities import AWAIT_PROCESS, LOAD_PROCESS, RESOLVE_PEOPLE, ActivityStub, AwaitRun, LoadProcess
from contracts.errors import DefinitionInvalid, Problem, SurefootError, UnknownProcess
from contracts.model import Usage
from contracts.run import Cost, Definition, RunResult
from language.load import load_process
from runtime.sandbox import patient
from runtime.settings import PROJECT

PROCESS = """
process: pay
input: {type: object, required: [amount], properties: {amount: {type: number, minimum: 0}}}
steps:
  rest: {wait: 1s}
"""


@workflow.defn(name="Ends")
class Ends:
    """Ends as it is told: `complete`, `fail` or, after one more generation, `again`."""

    @workflow.run
    async def run(self, how: str) -> RunResult:
        if how == "again":
            workflow.continue_as_new("complete")
        if how == "fail":
            raise ApplicationError("no money left", type="StepError", non_retryable=True)
        return RunResult(status="completed", output={"how": how}, cost=Cost(), usage=Usage())


def definition(name: str) -> Definition:
    return load_process(PROCESS, "pay.yaml", tools={}, processes=())


async def load(definitions: Callable[[str], Definition], value: object) -> Definition:
    return await ActivityEnvironment().run(load_process_activity(definitions), LoadProcess(process="pay", input=value))


async def test_a_process_is_loaded_by_its_name() -> None:
    assert (await load(definition, {"amount": 1})).process.process == "pay"


@pytest.mark.parametrize("value", [{"amount": -1}, {}, None])
async def test_an_input_that_does_not_fit_starts_nothing(value: object) -> None:
    with pytest.raises(ApplicationError, match=r"does not fit process pay: .+") as caught:
        await load(definition, value)
    assert (caught.value.type, caught.value.non_retryable) == ("InputInvalid", True)


@pytest.mark.parametrize(
    "error",
    [
        UnknownProcess("there is no process pay; did you mean play?"),
        DefinitionInvalid([Problem(file="pay.yaml", line=3, column=5, message="unknown tool")]),
    ],
)
async def test_a_process_that_cannot_be_had_fails_for_good_as_what_it_is(error: SurefootError) -> None:
    def missing(name: str) -> Definition:
        raise error

    with pytest.raises(ApplicationError) as caught:
        await load(missing, {"amount": 1})
    assert (caught.value.type, caught.value.message) == (error.type_name(), str(error))
    assert caught.value.non_retryable


async def wait_for(client: Client, run: str) -> RunResult:
    return await ActivityEnvironment().run(await_process_activity(client), AwaitRun(workflow_id=run))


async def ended(client: Client, how: str) -> RunResult:
    run = f"ends-{uuid7()}"
    async with patient(Worker(client, task_queue=run, workflows=[Ends], workflow_runner=UnsandboxedWorkflowRunner())):
        await client.start_workflow(Ends.run, how, id=run, task_queue=run)
        return await wait_for(client, run)


@pytest.mark.parametrize("how", ["complete", "again"])
async def test_a_run_is_awaited_through_its_continuations(client: Client, how: str) -> None:
    assert (await ended(client, how)).output == {"how": "complete"}


async def test_a_run_that_failed_is_a_failed_child_with_its_reason(client: Client) -> None:
    with pytest.raises(ApplicationError, match=r"ends-.*: no money left") as caught:
        await ended(client, "fail")
    assert (caught.value.type, caught.value.non_retryable) == ("ChildFailed", True)


async def test_a_run_that_is_gone_is_a_failed_child(client: Client) -> None:
    with pytest.raises(ApplicationError, match="gone-1") as caught:
        await wait_for(client, "gone-1")
    assert (caught.value.type, caught.value.non_retryable) == ("ChildFailed", True)


@pytest.mark.parametrize(
    ("stub", "implementation"),
    [
        (LOAD_PROCESS, lambda client: load_process_activity(definition)),
        (RESOLVE_PEOPLE, lambda client: resolve_people_activity(DirectoryFile(PROJECT / "processes" / "people.yaml"))),
        (AWAIT_PROCESS, await_process_activity),
    ],
)
async def test_an_activity_is_what_its_stub_says(
    client: Client, stub: ActivityStub[Any, Any], implementation: Callable[[Client], Callable[..., Any]]
) -> None:
    function = implementation(client)
    hints = get_type_hints(function)
    parameters = list(inspect.signature(function).parameters)
    defined = activity._Definition.from_callable(function)
    assert defined is not None
    assert (defined.name, [hints[name] for name in parameters]) == (stub.name, [stub.argument])
    assert hints["return"] is stub.result
