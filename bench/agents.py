"""What an agent costs: the same turns by our `Agent`, by a hand-written workflow, by other frameworks on Temporal.

    .venv/bin/python bench/agents.py [--pairs 5] [--runs 64] [--full] [--only TEXT]

Every tool result has 2 kB, and the model is an HTTP endpoint on loopback that answers at once, in a process of its own.
Prints ratios of medians of interleaved pairs, with the bar each is held to. No absolute time is worth quoting from a
shared machine.
"""

import argparse
import asyncio
import logging
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In the place of this folder, whose `agents.py` would hide the package of that name.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).parents[1]))

import openai
import structlog
from rich.console import Console
from rich.table import Table
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker
from uuid_utils import uuid7

from activities.conversations import SqliteConversations
from activities.model.call import ModelCall
from activities.tools.runner import tool_activities
from bench import rivals
from bench.agent_by_hand import INSTRUCTIONS, TASK, AgentByHand, found
from bench.endpoint import ANSWER, endpoint
from bench.measure import ACTIVITIES, HOME, environment, ran
from bench.rivals import Begin
from contracts.agent import AgentRequest
from contracts.names import AGENT_WORKFLOW
from contracts.process import Limits
from contracts.settings import ModelAlias
from contracts.tools import tool
from runtime.sandbox import patient, workflow_runner
from workflows.agent.workflow import AgentWorkflow

QUEUE = "bench-agents"
TURNS = ((20, "1.00"), (100, "0.70"))
HISTORY_TURNS = (20, 100)
FULL_HISTORY_TURNS = 500
HISTORY_BAR = "4.50"
AT_ONCE = 32
RIVAL_TURNS = 5
RIVAL_BAR = "1.50"


@tool(name="bench.lookup", effect="read")
async def lookup(number: int) -> str:
    """What is known of a number."""
    return found(number)


@dataclass(frozen=True)
class Row:
    what: str
    ratio: str
    bar: str
    cpu: str = ""


def model_of(turns: int) -> str:
    """The scripted model that asks for so many tool calls."""
    return f"turns-{turns}"


def ours(client: Client) -> Begin:
    async def begin(model: str) -> WorkflowHandle[Any, Any]:
        run = f"bench-{uuid7()}"
        request = AgentRequest(
            run=run,
            step="look",
            process="bench",
            agent="clerk",
            instructions=INSTRUCTIONS,
            models=(model,),
            task=TASK,
            tools={lookup.spec.name: lookup.spec},
            limits=Limits(turns=1_000),
        )
        return await client.start_workflow(AGENT_WORKFLOW, request, id=run, task_queue=QUEUE)

    return begin


def by_hand(client: Client) -> Begin:
    async def begin(model: str) -> WorkflowHandle[Any, Any]:
        return await client.start_workflow(AgentByHand.run, model, id=f"bench-{uuid7()}", task_queue=QUEUE)

    return begin


@asynccontextmanager
async def worker(client: Client, url: str) -> AsyncIterator[None]:
    """Ours and the hand-written one side by side, in one worker set up like `worker.py`."""
    aliases = {name: ModelAlias(model=name, base_url=url, api="chat") for name in map(model_of, range(501))}
    store = SqliteConversations(Path(HOME.name) / "conversations.db")
    call = ModelCall(store, lambda _: None, aliases)
    typed = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    made = Worker(
        client,
        task_queue=QUEUE,
        workflows=[AgentWorkflow, AgentByHand],
        activities=[
            *tool_activities([lookup], conversations=store),
            call.activity(),
            *rivals.by_hand_activities(typed),
        ],
        workflow_runner=workflow_runner(),
        max_concurrent_activities=ACTIVITIES,
        max_eager_activity_reservations_per_workflow_task=ACTIVITIES,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        stack.push_async_callback(call.close)
        stack.push_async_callback(typed.close)
        await stack.enter_async_context(patient(made))
        yield


async def rows(client: Client, url: str, *, pairs: int, runs: int, full: bool, only: str) -> AsyncIterator[Row]:
    for turns, bar in TURNS:
        what = f"{turns} turns: time, by that by hand"
        if only in what:
            yield await _time(client, what, bar, turns, pairs)
    for turns in (*HISTORY_TURNS, *([FULL_HISTORY_TURNS] if full else [])):
        what = f"{turns} turns: kB of history a turn"
        if only in what:
            made = await ran(client, await ours(client)(model_of(turns)), time.perf_counter())
            yield Row(what, f"{made.bytes / turns / 1000:.2f}", HISTORY_BAR)
    for name, started in (("by hand", None), *rivals.RIVALS.items()):
        what = f"{AT_ONCE} at once, {RIVAL_TURNS} turns: runs a second, by those of {name}"
        if only not in what:
            continue
        try:
            async with AsyncExitStack() as stack:
                begin = (
                    await stack.enter_async_context(started(client, url, model_of(RIVAL_TURNS)))
                    if started
                    else by_hand(client)
                )
                yield await _rate(client, what, begin, runs, pairs, RIVAL_BAR if started else "")
        except ImportError as error:
            yield Row(what, f"not installed: {error.name}", RIVAL_BAR)


async def _time(client: Client, what: str, bar: str, turns: int, pairs: int) -> Row:
    """One run at a time, each way first in turn."""
    seconds: list[float] = []
    cpu: list[float] = []
    for index in range(pairs):
        ways = (ours(client), by_hand(client))
        taken = [await _one(begin, model_of(turns)) for begin in (ways if index % 2 else ways[::-1])]
        mine, theirs = taken if index % 2 else taken[::-1]
        seconds.append(mine[0] / theirs[0])
        cpu.append(mine[1] / theirs[1])
    return Row(what, _spread(seconds), bar, _spread(cpu))


async def _one(begin: Begin, model: str) -> tuple[float, float]:
    """Seconds, and seconds of this process's CPU."""
    began, used = time.perf_counter(), time.process_time()
    handle = await begin(model)
    answer = await handle.result()
    if str(answer["output"] if isinstance(answer, dict) else answer) != ANSWER:
        raise SystemExit(f"{handle.id} answered {answer}")
    return time.perf_counter() - began, time.process_time() - used


async def _rate(client: Client, what: str, begin: Begin, runs: int, pairs: int, bar: str) -> Row:
    """Many runs, so many at once, each way first in turn."""
    rates: list[float] = []
    for index in range(pairs):
        ways = (ours(client), begin)
        taken = [await _all(way, runs) for way in (ways if index % 2 else ways[::-1])]
        mine, theirs = taken if index % 2 else taken[::-1]
        rates.append(theirs / mine)
    return Row(what, _spread(rates), bar)


async def _all(begin: Begin, runs: int) -> float:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with slots:
            await _one(begin, model_of(RIVAL_TURNS))

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(runs)))
    return time.perf_counter() - began


def _spread(ratios: Sequence[float]) -> str:
    """The median, and the lowest and highest when there are several."""
    middle = f"{statistics.median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.2f} to {max(ratios):.2f})"


async def main(*, pairs: int, runs: int, full: bool, only: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table("", "ours", "bar", "CPU of the worker, ours / by hand")
    table.title = "An agent, by what others need for the same turns"
    errors = Console(stderr=True)
    with endpoint() as url:
        async with environment() as client, worker(client, url):
            for begin in (ours(client), by_hand(client)):
                await _one(begin, model_of(5))
            async for row in rows(client, url, pairs=pairs, runs=runs, full=full, only=only):
                errors.print(f"{row.what}: {row.ratio} {row.cpu}", style="dim", highlight=False)
                table.add_row(row.what, row.ratio, row.bar, row.cpu)
    Console(width=130).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs for each row")
    parser.add_argument("--runs", type=int, default=64, help="of each way in a pair, where many run at once")
    parser.add_argument("--full", action="store_true", help="history of 500 turns too")
    parser.add_argument("--only", default="", help="rows that have this in their name, such as `20 turns`")
    given = parser.parse_args()
    asyncio.run(main(pairs=given.pairs, runs=given.runs, full=given.full, only=given.only))
    # The Temporal client's threads can crash an interpreter that is shutting down (temporalio/sdk-python#300).
    sys.stdout.flush()
    os._exit(0)
