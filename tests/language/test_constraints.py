"""Grants with constraints: what covers a call, and what is wrong with a constraint in a file."""

from typing import Any

import pytest

from contracts.errors import DefinitionInvalid
from contracts.grants import Grant
from contracts.tools import ToolSpec
from language.arguments import read_arguments
from language.constraints import refusal
from language.load import load_process

TRANSFER = ToolSpec(
    name="bank.transfer",
    effect="write",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "properties": {"to": {"type": "string"}, "amount": {"type": "number"}, "memo": {"type": "object"}},
        "required": ["to", "amount"],
    },
)


@pytest.mark.parametrize(
    ("constraint", "amount", "is_covered"),
    [
        ("<= 500", 500, True),
        ("<= 500", 500.5, False),
        ("<= 500", 1e3, False),
        ("<= 500", "500", False),
        ("<= 500", "1", False),
        ("<= 500", True, False),
        ("<= 500", None, False),
        ("<= 500", [1], False),
        ("<= 500", {"value": 1}, False),
        ("<= 500", float("nan"), False),
        ("<= 500", 10**400, False),
        ("<= 500", -(10**400), False),
        ("!= 500", float("nan"), False),
        ("in [1, 2]", 2, True),
        ("in [1, 2]", 3, False),
        ("${ value > 0 && value <= 500 }", 500, True),
        ("${ value > 0 && value <= 500 }", -5, False),
        ("${ value > 0 && args.to == 'acme' }", 5, True),
        ("${ value > 0 && args.to == 'mallory' }", 5, False),
        ("${ value }", 1, False),
        (500, 500.0, True),
        (500, "500", False),
        (1, True, False),
        ([1, 500], 500, True),
        ([1, 500], 2, False),
    ],
)
def test_a_constraint_covers_only_what_it_says(constraint: Any, amount: Any, is_covered: bool) -> None:
    reason = refusal([{"bank.*": {"amount": constraint}}], "bank.transfer", {"to": "acme", "amount": amount})
    assert (reason is None) == is_covered


def test_any_grant_that_covers_a_call_is_enough() -> None:
    grants: list[Grant] = [{"bank.transfer": {"amount": "<= 5"}}, {"bank.*": {"to": ["acme"]}}]
    assert refusal(grants, "bank.transfer", {"to": "acme", "amount": 900}) is None
    assert refusal(grants, "bank.transfer", {"to": "eve", "amount": 5}) is None
    assert refusal(grants, "bank.transfer", {"to": "eve", "amount": 6}) == (
        'bank.transfer is granted only where amount <= 5; amount is 6, or where to is one of ["acme"]; to is "eve"'
    )


def test_every_constraint_of_a_grant_must_hold_and_a_missing_argument_satisfies_none() -> None:
    grants = [{"bank.transfer": {"amount": "<= 5", "to": "acme"}}]
    assert refusal(grants, "bank.transfer", {"to": "acme", "amount": 5}) is None
    assert refusal(grants, "bank.transfer", {"amount": 5}) is not None
    assert refusal([{"bank.transfer": {"memo": "!= 1"}}], "bank.transfer", {}) is not None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"amount": 5, "amount": 9000}', "name `amount` twice"),
        ('{"memo": {"a": 1, "\\u0061": 2}, "amount": 1}', "name `a` twice"),
        ('{"amount": NaN}', "not JSON"),
        ('{"amount": -Infinity}', "not JSON"),
        ('{"amount": 1e999}', "larger than a number can be"),
        ('{"amount": "\\ud800"}', "not JSON"),
        ("[1]", "must be a JSON object"),
        ('{"amount": 1} {"amount": 2}', "not JSON"),
        ("[" * 5000, "not JSON"),
    ],
)
def test_arguments_that_can_be_read_in_two_ways_are_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        read_arguments(text)


def test_arguments_are_read_as_they_are() -> None:
    assert read_arguments("") == {}
    assert read_arguments('{"to": "Ångström", "amount": 1e2}') == {"to": "Ångström", "amount": 100.0}


def mistakes(tools: str, approve: str = "[]") -> list[str]:
    text = f"""\
process: paying
agents:
  clerk:
    instructions: You pay.
    tools: {tools}
    approve: {approve}
steps:
  pay: {{agent: clerk, task: Pay.}}
"""
    with pytest.raises(DefinitionInvalid) as caught:
        load_process(text, "pay.yaml", tools={"bank.transfer": TRANSFER})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ('[{bank.transfer: {amout: "<= 500"}}]', "5:30: no tool that is granted here takes an argument `amout` (did"),
        ('[{bank.transfer: {amount: "<= "}}]', "5:30: `<= ` is no constraint"),
        ('[{bank.transfer: {amount: "<= limit"}}]', "unknown name `limit`"),
        ('[{bank.transfer: {amount: "<= biggest(1)"}}]', "unknown function `biggest`"),
        ('[{bank.transfer: {amount: "${ args.amout < 5 }"}}]', "takes an argument `amout`"),
        ('[{bank.transfer: {amount: "500"}}]', '`amount` can never be "500"'),
        ('[{bank.transfer: {amount: [1, "x"]}}]', '`amount` can never be "x"'),
        ('[{bank.transfers: {amount: "<= 5"}}]', "no tool matches `bank.transfers` (did you mean `bank.transfer`?)"),
        ('[{bank.transfer: {amount: "<= 5"}, mail.send: {to: x}}]', "a grant is a tool, or one tool with its"),
        ("[{bank.transfer: {}}]", "a grant is a tool, or one tool with its"),
        ("[{bank.transfer: 5}]", "a grant is a tool, or one tool with its"),
    ],
)
def test_a_mistake_in_a_grant_is_found_at_its_place(tools: str, message: str) -> None:
    (found,) = mistakes(tools)
    assert message in found


@pytest.mark.parametrize(
    ("approve", "message"),
    [
        ("[{tools: [bank.reverse], from: [{any_of: [user:a]}]}]", "is granted no tool that matches `bank.reverse`"),
        ('[{tools: [bank.*], when: "${ amount > 1 }", from: [{any_of: [user:a]}]}]', "unknown name `amount`"),
        ("[{tools: [bank.*], when: args.amount > 1, from: [{any_of: [user:a]}]}]", "is text, not an expression"),
        ("[{tools: [bank.*], whn: 1, from: [{any_of: [user:a]}]}]", "unknown key `whn` (did you mean `when`?)"),
        ("[{tools: [], from: [{any_of: [user:a]}]}]", "is empty"),
        ('[{tools: [bank.*], title: "${ steps.x.output }", from: [{any_of: [user:a]}]}]', "unknown name `steps`"),
    ],
)
def test_a_mistake_in_an_approval_of_calls_is_found_at_its_place(approve: str, message: str) -> None:
    found = mistakes("[bank.transfer]", approve)
    assert any(message in one for one in found)
