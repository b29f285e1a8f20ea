"""Values made of schemas fit them, for every tool there is; and what the kit tells when something is amiss."""

import re
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from contracts.errors import SettingsInvalid, UnknownProcess
from contracts.tools import ToolSpec
from language.schema import violations
from runtime.catalog import Catalog
from runtime.settings import PROJECT
from testkit import OpenTrial, example
from testkit.fakes import fake_result

TOOLS = Catalog.load([PROJECT / "processes"]).specs


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_fake_of_every_sample_tool_returns_what_fits(name: str) -> None:
    assert violations(TOOLS[name].returns, fake_result(TOOLS[name])) == []


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({}, None),
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-05"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        ({"type": "integer", "maximum": -5}, -5),
        ({"enum": ["low", "high"]}, "low"),
        ({"const": 7}, 7),
        ({"type": "string", "default": "x"}, "x"),
        ({"type": ["string", "null"]}, "text"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "array"}}}, []),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {}}}, {"a": 0}),
        ({"allOf": [{"required": ["a"], "properties": {"a": {"const": 1}}}, {"required": ["b"]}]}, {"a": 1, "b": None}),
    ],
)
def test_the_least_value_of_a_schema(schema: dict[str, Any], made: Any) -> None:
    assert example(schema) == made


def test_a_schema_that_no_example_fits_asks_what_to_return() -> None:
    spec = ToolSpec(name="plate.read", returns={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"})
    with pytest.raises(ValueError, match=r'say what the fake returns: trial\.fake\("plate\.read", returns=\.\.\.\)'):
        fake_result(spec)


async def test_a_name_of_nothing_that_is_there_is_an_error_and_not_an_empty_answer(trial: OpenTrial) -> None:
    desk = await trial("processes/order-desk")
    for asked in (desk.fake, desk.calls, desk.effects):
        with pytest.raises(LookupError, match=r"there is no tool 'bnak\.\*'; there are .*bank\.transfer"):
            asked("bnak.*")
    assert desk.calls() == desk.effects() == desk.calls("bank.*") == []
    for said in (desk.says, desk.asks_for):
        with pytest.raises(
            LookupError, match="no agent 'buyer' in order-desk; there are dispatcher, planner, and of a"
        ):
            said("buyer", "no.such.tool")
        said("stock-watch/buyer", "no.such.tool")
        said("planner", "no.such.tool")  # of plans; no process file need declare it
    with pytest.raises(UnknownProcess, match="no process 'stok-watch'; did you mean stock-watch"):
        desk.says("stok-watch/buyer", "yes")
    with pytest.raises(UnknownProcess, match="no process 'stok-watch'; did you mean stock-watch"):
        await desk.start({}, process="stok-watch")


async def test_an_agent_of_a_process_that_another_one_starts_is_scripted_too(trial: OpenTrial) -> None:
    desk = await trial("processes/order-desk")
    offer = {"offer": "OF-1", "supplier": "Nordwind GmbH", "quantity": 40, "total": 2320, "reason": "as scripted"}
    desk.says("stock-watch/buyer", offer)
    await desk.start({"order": "W-5001"}, run="order-desk-1")
    view = await desk.run("stock-watch-order-desk-1/short").waits_for("agree")
    assert "as scripted" in view.waiting[0].model_dump_json()


async def test_a_folder_that_is_nowhere_is_named_as_it_was_given_and_where_it_was_looked_for(trial: OpenTrial) -> None:
    here, clone = re.escape(f"{Path.cwd()}"), re.escape(f"{PROJECT}")
    with pytest.raises(SettingsInvalid, match=f"^processes/no-such: .* are looked for in {here}, then in {clone}$"):
        await trial("processes/no-such")


async def test_a_run_that_cannot_begin_says_at_once_why(trial: OpenTrial) -> None:
    desk = await trial("processes/invoice-approval")
    run = await desk.start({"invoice_id": "INV-2041", "supplier": "Nordwind GmbH"})
    with pytest.raises(
        AssertionError, match=f'{run.id} did not begin: the input does not fit .*"amount" is a required'
    ):
        await run.ended()


async def test_a_run_that_never_comes_to_what_is_awaited_says_where_it_stands(
    trial: OpenTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await trial("processes/invoice-approval")
    run = await desk.start({"invoice_id": "INV-2041", "amount": 1840, "supplier": "Nordwind GmbH"})
    await run.waits_for("sign_off")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.approve("sign_off", by="user:nobody-of-ours")
    assert "user:nobody-of-ours" in "".join(refused.value.__notes__)
    with pytest.raises(LookupError, match="has no step 'sign_of'; there are order, audit, sign_off, pay, notify"):
        await run.step("sign_of")
    monkeypatch.setattr("testkit.desk.PATIENCE", 0.5)
    with pytest.raises(
        AssertionError, match=r"did not come to its end; it is waiting: order completed, .*sign_off waiting"
    ):
        await run.ended()
