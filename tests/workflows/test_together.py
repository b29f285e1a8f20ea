"""Agents that work for each other: tasks and answers, peers, debates, handing over; limits, errors and stops carry."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from contracts.agent import AgentView
from contracts.names import VIEW_QUERY
from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, Endpoint, completion, open_endpoint
from tests.workflows.office import Office, Run, open_office

Said = dict[str, list[Any]]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        yield opened


@pytest_asyncio.fixture
async def office(client: Client, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Office]:
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url, input_price=1, output_price=10)}
    async with open_office(client, home=tmp_path, models=models) as opened:
        yield opened


class Cast:
    """Answers each agent, known by its instructions `You are NAME.`, by its own script: texts, or lists of calls."""

    def __init__(self, endpoint: Endpoint, **scripts: list[str | list[tuple[str, Any]]]) -> None:
        self.asked: dict[str, list[Asked]] = {name: [] for name in scripts}
        self._scripts = scripts
        endpoint.default = self._answer

    def _answer(self, asked: Asked) -> Answered:
        name = asked.messages[0]["content"].removeprefix("You are ").partition(".")[0]
        self.asked[name].append(asked)
        script = self._scripts[name]
        said = script[min(len(self.asked[name]), len(script)) - 1]
        text, calls = (said, ()) if isinstance(said, str) else ("", tuple(said))
        finish = "tool_calls" if calls else "stop"
        return Answered(body=json.dumps(completion(asked, text, calls, finish, (100, 20))))

    def told(self, name: str, request: int = -1) -> str:
        """The last message that an agent was sent."""
        content: str = self.asked[name][request].messages[-1]["content"]
        return content

    def tools_of(self, name: str) -> list[str]:
        return [tool["function"]["name"] for tool in self.asked[name][0].body.get("tools", [])]


def process(*, step: str = "", more: str = "", **agents: str) -> str:
    """A process whose one step asks the agent `lead`."""
    lines = "\n".join(f"  {name}: {{instructions: You are {name}., {spec}}}" for name, spec in agents.items())
    return f"process: team\n{more}\nagents:\n{lines}\nsteps:\n  ask: {{agent: lead, task: Decide it., {step}}}\n" + (
        "output: ${ steps.ask.output }\n"
    )


async def start(office: Office, text: str) -> Run:
    return await office.start(office.definition(text))


async def test_a_lead_gives_tasks_to_specialists_at_once_and_merges(office: Office, endpoint: Endpoint) -> None:
    both = [("agent_legal", {"task": "Is it legal?", "context": {"case": 7}}), ("agent_money", {"task": "Is it dear?"})]
    cast = Cast(endpoint, lead=[both, "go ahead"], legal=["it is legal"], money=[[("do_held", {})], "it is cheap"])
    run = await start(
        office, process(lead="agents: [legal, money]", legal="tools: []", money="tools: [do.held]")
    )
    await office.started["ask"].wait()
    lead = office.client.get_workflow_handle(f"{run.id}/ask")
    seen: AgentView = await lead.query(VIEW_QUERY, result_type=AgentView)
    while seen.children[0].status == "running":  # The other one is held: both are at work at the same time.
        seen = await lead.query(VIEW_QUERY, result_type=AgentView)
    assert [(child.tool, child.status) for child in seen.children] == [
        ("agent.legal", "completed"),
        ("agent.money", "running"),
    ]
    office.gates["ask"].set()
    assert (await run.handle.result()).output == "go ahead"
    assert cast.asked["legal"][0].messages[1]["content"] == 'Is it legal?\n\nContext:\n{"case":7}'
    assert [message["content"] for message in cast.asked["lead"][1].messages[-2:]] == ['"it is legal"', '"it is cheap"']
    view = await run.view()
    assert view.cost.calls == 5
    step = view.steps[0]
    assert step.tokens == 5 * 120
    assert [child.usage.calls for child in step.children] == [1, 2]
    assert all(child.id.startswith(f"{run.id}/ask/agent.") for child in step.children)
