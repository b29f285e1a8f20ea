"""The worker registers everything that the workflows name, as they name it."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client

import contracts.activities
import contracts.names
import worker
from activities.conversations import SqliteConversations
from activities.model.call import ModelCall
from activities.people.opening import open_directory
from activities.records.opening import open_records
from activities.tools.declared import Connectors
from contracts.activities import ActivityStub
from contracts.results import RESULT_READ
from contracts.state import BUILT_IN
from contracts.tools import ToolCall, ToolResult
from runtime.catalog import Catalog
from runtime.client import Connection
from runtime.settings import PROJECT, Settings
from workflows.process import ProcessWorkflow
from workflows.registered import WORKFLOWS

STUBS = [value for value in vars(contracts.activities).values() if isinstance(value, ActivityStub)]
ENGINE_PREFIX = "surefoot."

Definitions = dict[str, activity._Definition]


@pytest.fixture(scope="module")
def registered(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    catalog = Catalog.load([PROJECT / "processes"])
    connection = Connection(client, address="", ui=None, embedded=True)
    store = SqliteConversations(home / "conversations.db")
    records = open_records(settings.records, home, {})
    models = ModelCall(store, catalog.rehearsal, settings.models)
    connectors = Connectors()
    notifier = worker.notifier_of(settings, records, open_directory(settings.people, {}, None), None)
    callables: list[Callable[..., Any]] = worker.activities(
        settings, connection, catalog, store, records, models, connectors, notifier
    )
    definitions = [activity._Definition.must_from_callable(each) for each in callables]
    names = [definition.name or "" for definition in definitions]
    assert sorted(names) == sorted(set(names)), "two activities have one name"
    return dict(zip(names, definitions, strict=True))


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.name)
def test_every_stub_has_an_implementation_of_its_types(stub: ActivityStub[Any, Any], registered: Definitions) -> None:
    definition = registered[stub.name]
    assert definition.arg_types == [stub.argument]
    assert definition.ret_type is stub.result


def test_every_activity_of_the_engine_has_a_stub(registered: Definitions) -> None:
    assert {name for name in registered if name.startswith(ENGINE_PREFIX)} == {stub.name for stub in STUBS}


def test_every_tool_is_an_activity_under_its_own_name(registered: Definitions) -> None:
    catalog = Catalog.load([PROJECT / "processes"]).specs
    assert catalog
    tools = {*catalog, *BUILT_IN, RESULT_READ.name}
    assert set(registered) == {*tools, *(stub.name for stub in STUBS)}
    for name in tools:
        assert (registered[name].arg_types, registered[name].ret_type) == ([ToolCall], ToolResult)


def test_every_workflow_that_is_named_is_registered() -> None:
    named = {value for key, value in vars(contracts.names).items() if key.endswith("_WORKFLOW")}
    assert {workflow._Definition.must_from_class(each).name for each in WORKFLOWS} == named


def test_every_workflow_and_activity_takes_one_argument(registered: Definitions) -> None:
    """So that fields can be added later without breaking runs that are under way. `Process` takes whatever it is sent,
    to refuse it in words when that is not one argument."""
    assert {name for name, definition in registered.items() if len(definition.arg_types or []) != 1} == set()
    for each in WORKFLOWS:
        taken = inspect.signature(workflow._Definition.must_from_class(each).run_fn).parameters.values()
        kinds = [parameter.kind for parameter in taken if parameter.name != "self"]
        any_number = each is ProcessWorkflow
        expected = inspect.Parameter.VAR_POSITIONAL if any_number else inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert kinds == [expected], each
