"""Agents that work together: whom a file may name, what they may be called with, which tools travel with the run."""

import pytest

from contracts.errors import DefinitionInvalid
from contracts.process import AgentSpec
from contracts.run import Definition
from contracts.state import BUILT_IN
from contracts.team import team_of
from contracts.tools import ToolSpec, process_tool, tool
from language.load import load_process

TOOLS = {
    spec.name: spec
    for spec in (
        ToolSpec(name="do.work"),
        ToolSpec(name="do.look"),
        process_tool("sub", "", {"type": "object"}),
        process_tool("bare", "", {}),
    )
}


def load(agents: str, steps: str = "ask: {agent: lead, task: Go.}") -> Definition:
    text = f"process: p\nagents:\n{agents}\nsteps:\n  {steps}\n"
    return load_process(text, "f.yaml", tools=TOOLS, processes=["sub", "bare"])


def agents(lead: str, clerk: str = "tools: [do.work]") -> str:
    extra = "  extra: {instructions: Help.}"
    return f"  lead: {{instructions: Lead., {lead}}}\n  clerk: {{instructions: Work., {clerk}}}\n{extra}"


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        ("agents: [clark]", "f.yaml:3:40: there is no agent `clark` (did you mean `clerk`?)"),
        ("peers: [clark]", "f.yaml:3:39: there is no agent `clark` (did you mean `clerk`?)"),
        ("hand_over: [clark]", "f.yaml:3:43: there is no agent `clark` (did you mean `clerk`?)"),
        (
            "debate: {among: [clerk, clark]}",
            "f.yaml:3:55: there is no agent `clark` (did you mean `clerk`?)",
        ),
        (
            "agents: [lead]",
            "f.yaml:3:40: `lead` lists itself (list others; an agent goes on by itself until it answers)",
        ),
        ("debate: {among: [clerk]}", "f.yaml:3:47: `among` has only 1 (write at least 2)"),
        ("debate: {amung: [clerk, lead]}", "f.yaml:3:40: unknown key `amung` (did you mean `among`?)"),
        (
            "debate: {among: [clerk, other], rounds: 40}",
            "f.yaml:3:71: `rounds` is 40 (write a number less than or equal to 10)",
        ),
        (
            "input: {type: string}",
            "f.yaml:3:38: what `lead` takes is no object (write `type: object` and its `properties`)",
        ),
        ("output: {type: wat}", "f.yaml:3:39: `output` is no JSON Schema"),
        ("tools: [process.subb]", "f.yaml:3:39: no tool matches `process.subb` (did you mean `process.sub`?)"),
        ("tools: [process.bare]", "f.yaml:3:39: the process `bare` does not say what it takes"),
    ],
)
def test_a_mistake_in_working_together_is_told_at_its_place(lead: str, told: str) -> None:
    with pytest.raises(DefinitionInvalid) as raised:
        load(agents(lead))
    assert any(str(problem).startswith(told) for problem in raised.value.problems), raised.value.problems


@pytest.mark.parametrize(
    "step",
    ["ask: {tool: process.sub}", "ask: {goal: Reach it., tools: [process.sub]}"],
    ids=["a step", "a goal"],
)
def test_processes_are_tools_of_agents_only(step: str) -> None:
    with pytest.raises(DefinitionInvalid, match="process"):
        load(agents("tools: []"), step)


def test_only_a_pattern_that_says_so_grants_processes() -> None:
    assert list(load(agents("tools: ['*']")).tools) == ["do.look", "do.work", *BUILT_IN]
    assert list(load(agents("tools: ['process.s*']")).tools) == ["process.sub"]


def test_the_tools_of_those_who_may_come_to_work_travel_with_the_run() -> None:
    assert list(load(agents("tools: [do.look]")).tools) == ["do.look"]
    for key in ("agents: [clerk]", "peers: [clerk]", "hand_over: [clerk]", "debate: {among: [clerk, extra]}"):
        assert list(load(agents(f"tools: [do.look], {key}")).tools) == ["do.look", "do.work"]
    assert list(load(agents("tools: [do.look], agents: [clerk], limits: {depth: 1}")).tools) == ["do.look"]


def test_a_team_is_who_can_be_reached_within_the_depth() -> None:
    def spec(**more: object) -> AgentSpec:
        return AgentSpec.model_validate({"instructions": "x", **more})

    known = {
        "a": spec(agents=("b",)),
        "b": spec(agents=("c", "a"), hand_over=("e",)),
        "c": spec(agents=("d",)),
        "d": spec(),
        "e": spec(agents=("d",), limits={"depth": 1}),
    }
    assert list(team_of(known["a"], known, 1)) == []
    assert list(team_of(known["a"], known, 2)) == ["b", "e"]
    assert list(team_of(known["a"], known, 3)) == ["a", "b", "c", "e"]
    assert list(team_of(known["a"], known, 4)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("name", ["agent.smith", "peer.review", "process.order", "debate", "hand_over"])
def test_names_under_which_agents_call_on_others_are_no_names_of_tools(name: str) -> None:
    with pytest.raises(ValueError, match="choose another first word"):

        @tool(name=name, effect="read")
        def made() -> None:
            """Never made."""


def test_the_three_legs_are_counted_over_all_who_may_come_to_work() -> None:
    tools = {
        "mail.read": ToolSpec(name="mail.read", untrusted=True),
        "crm.read": ToolSpec(name="crm.read", sensitive=True),
        "bank.pay": ToolSpec(name="bank.pay", effect="write"),
    }
    reader = "  reader: {instructions: Read., tools: [mail.read]}\n  payer: {instructions: Pay., tools: [bank.pay]}"

    def mistakes(lead: str) -> list[str]:
        steps = "steps:\n  a: {agent: lead, task: x}\n"
        text = f"process: p\nagents:\n  lead: {{instructions: x, {lead}}}\n{reader}\n{steps}"
        try:
            load_process(text, "f.yaml", tools=tools)
        except DefinitionInvalid as error:
            return [problem.message for problem in error.problems]
        return []

    assert mistakes("tools: [crm.read], agents: [reader]") == []
    (found,) = mistakes("tools: [crm.read], agents: [reader], hand_over: [payer]")
    assert "can, through an agent that it calls on, call `bank.pay`" in found
