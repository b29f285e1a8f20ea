"""The three legs of an agent, and calls of steps with text from outside: found when the file is loaded."""

import json
from typing import Any

import pytest

from contracts.errors import DefinitionInvalid
from contracts.tools import ToolSpec
from language.load import load_process

ANY = {"type": "object", "properties": {"text": {}, "to": {}}}
TOOLS = {
    spec.name: spec
    for spec in (
        ToolSpec(name="mail.read", untrusted=True),
        ToolSpec(name="crm.read", sensitive=True),
        ToolSpec(name="erp.read", parameters=ANY),
        ToolSpec(name="bank.pay", effect="write", parameters=ANY),
        ToolSpec(name="mail.send", outside=True, parameters=ANY),
    )
}
PEOPLE = [{"any_of": ["user:cfo"]}]


def mistakes(agents: dict[str, Any], steps: dict[str, Any] | None = None) -> list[str]:
    used = {name: {"agent": name, "task": "Work."} for name in agents}
    text = json.dumps({"process": "legs", "agents": agents, "steps": {**used, **(steps or {})}}, indent=1)
    try:
        load_process(text, "legs.yaml", tools=TOOLS)
    except DefinitionInvalid as error:
        return [problem.message for problem in error.problems]
    return []


def agent(*tools: str, **more: Any) -> dict[str, Any]:
    return {"instructions": "You work.", "tools": list(tools), **more}


def behind(*tools: str, **more: Any) -> list[dict[str, Any]]:
    return [{"tools": list(tools), "from": PEOPLE, **more}]


@pytest.mark.parametrize("third", ["bank.pay", "mail.send"])
def test_an_agent_with_all_three_legs_does_not_load(third: str) -> None:
    (message,) = mistakes({"clerk": agent("mail.read", "crm.read", third)})
    assert message == (
        "`clerk` reads text from outside (`mail.read`), reads sensitive data (`crm.read`) and can call "
        f"`{third}`, which changes the world or sends out"
    )


@pytest.mark.parametrize(
    "tools", [("mail.read", "crm.read"), ("mail.read", "bank.pay"), ("crm.read", "bank.pay", "mail.send")]
)
def test_an_agent_with_two_legs_loads(tools: tuple[str, ...]) -> None:
    assert mistakes({"clerk": agent(*tools)}) == []


def test_all_three_load_when_people_are_asked_about_every_call_of_the_third() -> None:
    tools = ("mail.read", "crm.read", "bank.pay", "mail.send")
    assert mistakes({"clerk": agent(*tools, approve=behind("bank.*", "mail.send"))}) == []
    (message,) = mistakes({"clerk": agent(*tools, approve=behind("bank.*"))})
    assert "`mail.send`" in message


@pytest.mark.parametrize("loophole", [{"when": "${ args.to != 'acme' }"}, {"expires": "1h", "on_expiry": "approve"}])
def test_an_approval_with_a_loophole_is_none(loophole: dict[str, Any]) -> None:
    tools = ("mail.read", "crm.read", "bank.pay")
    assert mistakes({"clerk": agent(*tools, approve=behind("bank.pay", **loophole))})


PAY = {"tool": "bank.pay", "with": {"text": "${ steps.mail.output }"}}
MAIL = {"tool": "mail.read"}


@pytest.mark.parametrize(
    ("steps", "at"),
    [
        ({"mail": MAIL, "pay": PAY}, "steps.mail"),
        ({"mail": MAIL, "pay": {**PAY, "tool": "mail.send"}}, "steps.mail"),
        ({"mail": {"steps": {"inner": MAIL}}, "pay": PAY}, "steps.mail"),
        ({"mail": {"agent": "clerk", "task": "Read."}, "pay": PAY}, "steps.mail"),
        (
            {
                "first": MAIL,
                "mail": {"tool": "erp.read", "with": {"text": "${ steps.first.output }"}},
                "pay": PAY,
            },
            "steps.mail",
        ),
        (
            {
                "mail": MAIL,
                "all": {
                    "for_each": "${ steps.mail.output }",
                    "steps": {"pay": {"tool": "bank.pay", "with": {"text": "${ item }"}}},
                },
            },
            "item",
        ),
    ],
)
def test_a_step_that_acts_on_text_from_outside_does_not_load(steps: dict[str, Any], at: str) -> None:
    found = [message for message in mistakes({"clerk": agent("mail.read")}, steps) if "is called with" in message]
    assert len(found) == 1
    assert f"is called with `{at}`, which may hold text from outside" in found[0]


@pytest.mark.parametrize(
    "more", [{"approve": {"from": PEOPLE}}, {"accepts_untrusted": True}, {"with": {"text": "${ input.text }"}}]
)
def test_it_loads_when_people_are_asked_or_the_tool_takes_it_as_data(more: dict[str, Any]) -> None:
    assert mistakes({}, {"mail": MAIL, "pay": {**PAY, **more}}) == []


def test_what_people_agreed_to_is_theirs() -> None:
    first = {"tool": "erp.read", "with": {"text": "${ steps.mail.output }"}, "approve": {"from": PEOPLE}}
    pay = {"tool": "bank.pay", "with": {"text": "${ steps.first.output }"}}
    assert mistakes({}, {"mail": MAIL, "first": first, "pay": pay}) == []


def test_legs_of_agents_that_it_calls_on_count() -> None:
    agents = {"clerk": agent("mail.read", agents=["keeper"]), "keeper": agent("crm.read", "bank.pay")}
    (message,) = mistakes(agents)
    assert "`clerk` reads text" in message
    assert "can, through an agent that it calls on, call `bank.pay`" in message
    agents["keeper"]["approve"] = behind("bank.pay")
    assert mistakes(agents) == []
