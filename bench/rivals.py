"""Who our agent is measured against: a hand-written workflow, and what other frameworks offer on Temporal.

The frameworks' workflows run without a sandbox, which is cheaper for them than ours.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import openai
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from uuid_utils import uuid7

from bench.agent_by_hand import FUNCTION, Ask, found
from bench.measure import ACTIVITIES

Begin = Callable[[str], Awaitable[WorkflowHandle[Any, Any]]]
"""Starts a run with the model of this name."""


def by_hand_activities(client: openai.AsyncOpenAI) -> list[Callable[..., Any]]:
    """Those of the hand-written workflow, with the typed client."""

    @activity.defn(name="by_hand.ask")
    async def ask(request: Ask) -> dict[str, Any]:
        messages: Any = request.messages
        tools: Any = [{"type": "function", "function": FUNCTION}]
        answer = await client.chat.completions.create(model=request.model, messages=messages, tools=tools)
        return answer.choices[0].message.model_dump(exclude_none=True)

    @activity.defn(name="by_hand.lookup")
    async def lookup(number: int) -> str:
        return found(number)

    return [ask, lookup]


@asynccontextmanager
async def _pydantic_ai(client: Client, url: str, model: str) -> AsyncIterator[Begin]:
    from bench import rival_pydantic_ai as rival

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as typed:
        plugins = [rival.plugin()]
        async with _worker(
            client, plugins, rival.RivalPydanticAI, worker_plugins=rival.worker_plugins(model, typed)
        ) as begin:
            yield begin


@asynccontextmanager
async def _openai_agents(client: Client, url: str, _: str) -> AsyncIterator[Begin]:
    from bench import rival_openai_agents as rival

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as typed:
        plugins = [rival.plugin(typed)]
        async with _worker(client, plugins, rival.RivalOpenAIAgents, activities=[rival.bench_lookup]) as begin:
            yield begin


@asynccontextmanager
async def _langgraph(client: Client, url: str, model: str) -> AsyncIterator[Begin]:
    from bench import rival_langgraph as rival

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as typed:
        plugins = [rival.plugin(model, typed)]
        async with _worker(client, plugins, rival.RivalLangGraph) as begin:
            yield begin


@asynccontextmanager
async def _worker(
    client: Client,
    plugins: list[Any],
    workflow: type[Any],
    *,
    activities: list[Callable[..., Any]] | None = None,
    worker_plugins: list[Any] | None = None,
) -> AsyncIterator[Begin]:
    """A worker of the rival's own, as many slots as ours."""
    queue = f"bench-{workflow.__name__}"
    with_plugins = await Client.connect(client.service_client.config.target_host, plugins=plugins)
    worker = Worker(
        with_plugins,
        task_queue=queue,
        workflows=[workflow],
        activities=activities or [],
        plugins=worker_plugins or [],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=ACTIVITIES,
        max_eager_activity_reservations_per_workflow_task=ACTIVITIES,
    )

    async def begin(model: str) -> WorkflowHandle[Any, Any]:
        return await with_plugins.start_workflow(workflow.run, model, id=f"bench-{uuid7()}", task_queue=queue)

    async with worker:
        yield begin


RIVALS: dict[str, Callable[[Client, str, str], AbstractAsyncContextManager[Begin]]] = {
    "openai-agents on Temporal": _openai_agents,
    "Pydantic AI on Temporal": _pydantic_ai,
    "LangGraph on Temporal": _langgraph,
}
"""Each is given our client, the endpoint's URL and the model's name. Raises ImportError when it is not installed."""
