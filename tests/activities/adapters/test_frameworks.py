"""A foreign agent in a step: inside our grants, limits, retries and undo, with each framework."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.adapters import GROUPS, Adapter, Framework
from contracts.settings import ModelAlias
from runtime.foreign import ForeignAgents
from runtime.imports import import_file
from tests.endpoint import Answered, Asked, Endpoint, completion
from tests.workflows.office import Office, Run, effects, open_office

FILES = Path(__file__).parent / "files"
PACKAGES: dict[Framework, str] = {"pydantic_ai": "pydantic_ai", "openai_agents": "agents", "langgraph": "langgraph"}
RISK = {"type": "object", "required": ["risk"], "properties": {"risk": {"enum": ["low", "high"]}}}


@dataclass
class Team:
    """A team with agents of one framework, in an office whose model is a real endpoint."""

    framework: Framework
    office: Office
    endpoint: Endpoint

    def text(self, name: str, *, own_tools: bool = False, limits: str = "{}", approve: str = "[]", **step: Any) -> str:
        adapter = {self.framework: f"with_{self.framework}.py:{name}", "own_tools": own_tools}
        made = {"agent": "clerk", "task": "Do it for ${ input.name }.", "with": {"name": "${ input.name }"}, **step}
        return f"""
            process: with-team
            input: {{type: object}}
            agents:
              clerk: {{adapter: {json.dumps(adapter)}, tools: [do.work, do.look], limits: {limits},
                approve: {approve}}}
            steps:
              ask: {json.dumps(made)}
            output: ${{ steps.ask.output }}
        """

    async def run(self, name: str, **more: Any) -> Run:
        return await self.office.start(self.text(name, **more), {"name": "Ada"})

    def answers(self, answer: dict[str, Any]) -> None:
        """The endpoint's next words are this answer, the way the framework asks for a structured one."""
        if self.framework == "pydantic_ai":
            self.endpoint.call(("final_result", answer))
        else:
            self.endpoint.say(json.dumps(answer))

    def said(self, at: int) -> list[dict[str, Any]]:
        """What the endpoint was sent besides instructions, in its request of this number."""
        return [each for each in self.endpoint.requests[at].messages if each["role"] != "system"]


@pytest_asyncio.fixture(params=["pydantic_ai", "openai_agents", "langgraph"])
async def team(
    request: pytest.FixtureRequest,
    client: Client,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Team]:
    framework: Framework = request.param
    if find_spec(PACKAGES[framework]) is None:
        pytest.skip(f"make setup WITH={GROUPS[framework]}")
    monkeypatch.setenv("OWN_MODEL_URL", endpoint.url)
    agents = ForeignAgents(import_file)

    def load(_: str, adapter: Adapter) -> Any:
        return agents.for_turn(FILES, adapter)

    models = {
        "default": ModelAlias(model="test-model", base_url=endpoint.url, api="chat", input_price=1, output_price=10)
    }
    endpoint.default = lambda _: Answered(400, '{"error": {"message": "no answer was scripted"}}')
    async with open_office(client, home=tmp_path, models=models, foreign=load) as office:
        yield Team(framework, office, endpoint)
    for module in agents.modules.values():
        if hasattr(module, "client"):
            await module.client.close()


async def test_a_foreign_agent_calls_our_tools_as_activities_and_answers(team: Team) -> None:
    team.endpoint.call(("do_work", {"what": "first"}), ("do_look", {}))
    team.answers({"risk": "low"})
    run = await team.run("clerk", output=RISK)
    assert (await run.handle.result()).output == {"risk": "low"}
    assert effects(team.office) == ["ask"]
    first = team.endpoint.requests[0]
    assert "You are a clerk." in first.messages[0]["content"]
    assert {tool["function"]["name"] for tool in first.body["tools"]} >= {"do_work", "do_look"}
    assert "Do it for Ada." in team.said(0)[0]["content"]
    assert [message["role"] for message in team.said(1)] == ["user", "assistant", "tool", "tool"]
    assert json.loads(team.said(1)[2]["content"])["what"] == "first"
    assert "You are a clerk." in team.endpoint.requests[1].messages[0]["content"]
    view = await run.view()
    assert (view.cost.calls, view.cost.tokens) == (2, 240)
    assert view.cost.amount == pytest.approx(2 * (100 * 1 + 20 * 10) / 1e6)
    history = await team.office.client.get_workflow_handle(f"{run.id}/ask").fetch_history()
    called = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    assert {name for name in called if name} == {"surefoot.call_model", "do.work", "do.look"}


@pytest.mark.slow
async def test_an_answer_that_does_not_fit_goes_back_to_the_foreign_agent(team: Team) -> None:
    team.answers({"risk": "none"})
    team.answers({"risk": "high"})
    run = await team.run("clerk", output=RISK)
    assert (await run.handle.result()).output == {"risk": "high"}
    assert "does not fit its schema" in json.dumps(team.said(1))


@pytest.mark.slow
async def test_a_tool_that_is_not_granted_is_not_offered_and_never_called(team: Team) -> None:
    team.endpoint.default = lambda asked: Answered(body=json.dumps(completion(asked, "done", (), "stop", (100, 20))))
    run = await team.run("clerk")
    assert (await run.handle.result()).output == "done"
    offered = {tool["function"]["name"] for tool in team.endpoint.requests[0].body["tools"]}
    assert offered == {"do_work", "do_look", "result_read"}


@pytest.mark.slow
async def test_a_foreign_agent_that_loops_is_stopped_at_its_limit(team: Team) -> None:
    team.endpoint.default = lambda asked: Answered(body=json.dumps(_look(asked)))
    run = await team.run("clerk", limits="{turns: 3}")
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "LimitReached"
    assert len(team.endpoint.requests) == 3


def _look(asked: Asked) -> dict[str, Any]:
    turn = sum(message["role"] == "assistant" for message in asked.messages)
    made = completion(asked, "", (("do_look", {"fail_times": 0}),), "tool_calls", (100, 20))
    made["choices"][0]["message"]["tool_calls"][0]["id"] = f"call-{turn}"
    return made


async def test_a_call_of_a_foreign_agent_waits_for_its_approval(team: Team) -> None:
    team.endpoint.call(("do_work", {"what": "it"}))
    team.endpoint.say("done")
    run = await team.run("clerk", approve="[{tools: [do.work], from: [{any_of: [user:ada]}]}]")
    (waiting,) = (await run.waiting("ask/ask-1")).waiting
    assert "do.work" in waiting.title
    assert team.office.ledger == []
    await run.decide("ask/ask-1", "approve", "user:ada")
    assert (await run.handle.result()).output == "done"
    assert [what for _, _, what in team.office.ledger] == ["it"]


@pytest.mark.slow
async def test_people_raise_a_foreign_agents_limit(team: Team) -> None:
    team.endpoint.default = lambda asked: Answered(body=json.dumps(_look(asked)))
    run = await team.run("clerk", limits="{turns: 1, at_limit: {ask: {from: [{any_of: [user:ada]}]}}}")
    await run.waiting("ask/ask-1")
    assert len(team.endpoint.requests) == 1
    team.endpoint.default = lambda asked: Answered(body=json.dumps(completion(asked, "done", (), "stop", (100, 20))))
    await run.decide("ask/ask-1", "approve", "user:ada")
    assert (await run.handle.result()).output == "done"


@pytest.mark.slow
async def test_a_turn_that_fails_is_tried_again_and_no_tool_is_called_twice(team: Team) -> None:
    team.endpoint.call(("do_work", {"what": "once"}))
    team.endpoint.fail(500, message="not now")
    team.endpoint.say("done")
    run = await team.run("clerk")
    assert (await run.handle.result()).output == "done"
    assert [what for _, _, what in team.office.ledger] == ["once"]
    assert len(team.endpoint.requests) == 3


async def test_what_a_foreign_agents_step_did_is_undone_when_the_run_fails(team: Team) -> None:
    team.endpoint.call(("do_work", {"what": "it"}))
    team.answers({"risk": "low"})
    text = team.text("clerk", output=RISK, undo={"tool": "do.undo", "with": {"of": "${ output.risk }"}})
    fails = "  bad: {tool: do.work, needs: [ask], with: {fails: true}, on_failure: fail}\n"
    text = text.replace("            output: ", f"            {fails}            output: ")
    run = await team.office.start(text, {"name": "Ada"})
    await run.until(lambda view: view.status == "undone")
    assert team.office.ledger == [("do", "ask", "it"), ("undo", "ask", "low")]


@pytest.mark.slow
async def test_a_refused_key_parks_the_step_naming_what_to_mend(team: Team) -> None:
    team.endpoint.fail(401, message="bad key", code="invalid_api_key")
    run = await team.run("clerk")
    error = (await run.parked("ask")).incidents[0].error
    assert error.type == "ModelFailed"
    assert "answered 401" in error.message
    assert "OPENAI_API_KEY" in error.message
    assert len(team.endpoint.requests) == 1


@pytest.mark.slow
async def test_an_agents_own_tools_run_inside_its_turn_when_that_is_allowed(team: Team) -> None:
    team.endpoint.call(("today", {}), ("do_work", {"what": "both"}))
    team.endpoint.say("done on a Monday")
    run = await team.run("handy", own_tools=True)
    assert (await run.handle.result()).output == "done on a Monday"
    assert [what for _, _, what in team.office.ledger] == ["both"]
    told = [message["content"] for message in team.said(1) if message["role"] == "tool"]
    assert sorted("Monday" in str(each) for each in told) == [False, True]


@pytest.mark.slow
async def test_an_agents_own_tools_are_refused_unless_they_are_allowed(team: Team) -> None:
    team.endpoint.call(("today", {}))
    run = await team.run("handy")
    error = (await run.parked("ask")).incidents[0].error
    assert "today" in error.message
    assert "own_tools: true" in error.message


@pytest.mark.slow
async def test_a_model_that_the_agent_brings_answers_for_it(team: Team) -> None:
    if team.framework == "langgraph":
        pytest.skip("a graph brings its model in its own code")
    team.endpoint.say("mine")
    run = await team.run("with_model")
    assert (await run.handle.result()).output == "mine"
    assert team.endpoint.requests[0].body["model"] == "own-model"
    assert (await run.view()).cost.tokens == 120


@pytest.mark.slow
async def test_an_agents_own_type_of_answer_holds(team: Team) -> None:
    if team.framework == "langgraph":
        pytest.skip("a graph's answer is its last message, or its structured_response")
    team.answers({"risk": "high"})
    run = await team.run("typed")
    assert json.loads((await run.handle.result()).output) == {"risk": "high"}


@pytest.mark.slow
async def test_a_graph_with_a_state_of_its_own_gets_the_context_and_gives_its_final_state(team: Team) -> None:
    if team.framework != "langgraph":
        pytest.skip("graphs only")
    run = await team.run("scorer", output=RISK)
    assert (await run.handle.result()).output == {"name": "Ada", "risk": "low"}
    assert team.endpoint.requests == []
