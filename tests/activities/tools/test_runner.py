"""A tool as an activity: what it is given, what it gives back, and how each failure is told apart."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from uuid_utils import uuid7

from activities import heartbeats
from activities.conversations import ConversationsUnavailable
from activities.tools.runner import tool_activities
from contracts.messages import ToolMessage, digest, tool_message
from contracts.tools import Tool, ToolCall, ToolContext, ToolError, ToolResult, tool
from runtime.sandbox import patient


class Outcome(BaseModel):
    """How a call ended, as a workflow sees it."""

    result: ToolResult | None = None
    type: str | None = None
    message: str = ""
    final: bool = False
    detail: dict[str, Any] = {}


@workflow.defn
class CallTool:
    @workflow.run
    async def run(self, name: str, call: ToolCall) -> Outcome:
        try:
            result = await workflow.execute_activity(
                name,
                call,
                result_type=ToolResult,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=3),
            )
        except ActivityError as error:
            cause = error.cause
            assert isinstance(cause, ApplicationError)
            return Outcome(
                type=cause.type, message=cause.message, final=cause.non_retryable, detail=dict(cause.details[0])
            )
        return Outcome(result=result)


@dataclass
class Caller:
    """`await call("shop.buy", item="pen")` calls a tool from a workflow; `ids` are those workflows'."""

    client: Client
    queue: str
    ids: list[str] = field(default_factory=list)

    async def __call__(self, name: str, **args: Any) -> Outcome:
        self.ids.append(f"{self.queue}-{len(self.ids)}")
        request = [name, call_of(**args)]
        return await self.client.execute_workflow(CallTool.run, args=request, id=self.ids[-1], task_queue=self.queue)


@asynccontextmanager
async def working(client: Client, *tools: Tool[..., Any]) -> AsyncIterator[Caller]:
    """A worker with these tools, and what calls them."""
    call = Caller(client, f"tools-{uuid7()}")
    async with patient(
        Worker(
            client,
            task_queue=call.queue,
            workflows=[CallTool],
            activities=tool_activities(tools),
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
    ):
        yield call


class Price(BaseModel):
    item: str
    cents: int


def call_of(**args: Any) -> ToolCall:
    return ToolCall(args=args, key="run-1/step", run="run-1", step="step")


async def test_arguments_arrive_typed_and_the_result_leaves_as_json(client: Client) -> None:
    @tool(name="shop.price", effect="read")
    async def price(prices: list[Price], currency: Literal["EUR", "CHF"] = "EUR") -> dict[str, Price]:
        """The dearest."""
        return {currency: max(prices, key=lambda price: price.cents)}

    async with working(client, price) as call:
        outcome = await call("shop.price", prices=[{"item": "pen", "cents": 120}, {"item": "ink", "cents": 480}])
    assert outcome.result == ToolResult(output={"EUR": {"item": "ink", "cents": 480}}, attempts=1)


async def test_a_tool_knows_its_key_run_step_and_attempt(client: Client) -> None:
    @tool(name="shop.where", effect="write", idempotent=True)
    def where(ctx: ToolContext) -> list[str]:
        """Fails once."""
        if ctx.attempt == 1:
            raise ToolError("not yet")
        return [ctx.idempotency_key, ctx.run, ctx.step, str(ctx.attempt)]

    async with working(client, where) as call:
        outcome = await call("shop.where")
    assert outcome.result == ToolResult(output=["run-1/step", "run-1", "step", "2"], attempts=2)


async def test_plain_functions_work_side_by_side_in_threads(client: Client) -> None:
    together = threading.Barrier(2, timeout=60)

    @tool(name="shop.meet", effect="read")
    def meet() -> bool:
        """Returns once two of it are at work."""
        together.wait()
        return threading.current_thread() is not threading.main_thread()

    async with working(client, meet) as call:
        both = await asyncio.gather(call("shop.meet"), call("shop.meet"))
    assert [outcome.result and outcome.result.output for outcome in both] == [True, True]


async def test_wrong_arguments_are_refused_by_name_and_nothing_is_called(client: Client) -> None:
    called: list[Any] = []

    @tool(name="shop.buy", effect="write")
    async def buy(item: str, count: int) -> None:
        """Buy."""
        called.append(item)

    async with working(client, buy) as call:
        outcome = await call("shop.buy", item="pen", count="many", colour="red")
    assert (outcome.type, outcome.final, outcome.detail) == ("ArgumentsInvalid", True, {"attempts": 1, "applied": "no"})
    assert "shop.buy" in outcome.message
    assert "count: should be a valid integer" in outcome.message
    assert "colour" in outcome.message
    assert called == []


async def test_a_tool_that_says_no_for_good_is_not_asked_again(client: Client) -> None:
    @tool(name="shop.refuse", effect="write", idempotent=True)
    async def refuse() -> None:
        """Refuse."""
        raise ToolError("the shop is closed down", retry=False)

    async with working(client, refuse) as call:
        outcome = await call("shop.refuse")
    assert outcome == Outcome(
        type="ToolFailed", message="the shop is closed down", final=True, detail={"attempts": 1, "applied": "no"}
    )


async def test_any_other_exception_is_tried_again_and_may_have_had_its_effect(client: Client) -> None:
    @tool(name="shop.crash", effect="write", idempotent=True)
    def crash() -> None:
        """Crash."""
        raise KeyError("pen")

    async with working(client, crash) as call:
        outcome = await call("shop.crash")
    assert outcome == Outcome(
        type="ToolFailed", message="KeyError: 'pen'", final=False, detail={"attempts": 3, "applied": "unknown"}
    )


@pytest.mark.parametrize(("effect", "applied"), [("read", "no"), ("write", "unknown")])
async def test_a_wrong_result_names_tool_place_and_value(
    client: Client, effect: Literal["read", "write"], applied: str
) -> None:
    @tool(name="shop.wrong", effect=effect)
    async def wrong() -> list[Price]:
        """Not what it says."""
        return [{"item": "pen", "cents": "a few"}]  # type: ignore[list-item] # the mistake under test

    async with working(client, wrong) as call:
        outcome = await call("shop.wrong")
    assert (outcome.type, outcome.final) == ("OutputInvalid", True)
    assert outcome.detail == {"attempts": 1, "applied": applied}
    assert "shop.wrong" in outcome.message
    assert "[0].cents: 'a few' — should be a valid integer" in outcome.message


async def test_a_result_that_no_history_can_hold_is_refused_with_its_size(client: Client) -> None:
    @tool(name="shop.much", effect="read")
    async def much() -> str:
        """Too much."""
        return "x" * 10_000_001

    async with working(client, much) as call:
        outcome = await call("shop.much")
    assert (outcome.type, outcome.final) == ("OutputInvalid", True)
    assert "10.0 MB" in outcome.message


@pytest.mark.parametrize("error", [ToolError, ValueError])
async def test_an_error_that_no_history_can_hold_arrives_cut(client: Client, error: type[Exception]) -> None:
    @tool(name="shop.wordy", effect="read")
    async def wordy() -> str:
        """Say too much."""
        raise error("y" * 3_000_000)

    async with working(client, wordy) as call:
        outcome = await call("shop.wordy")
    assert "yyy... (3,000,0" in outcome.message
    assert len(outcome.message) < 11_000


async def test_a_result_that_is_no_json_is_refused(client: Client) -> None:
    @tool(name="shop.broken", effect="read")
    async def broken() -> str:
        """Half a character."""
        return "\ud800"

    async with working(client, broken) as call:
        outcome = await call("shop.broken")
    assert (outcome.type, outcome.final) == ("OutputInvalid", True)
    assert "shop.broken" in outcome.message


async def test_a_missing_secret_is_asked_for_by_its_variable(client: Client) -> None:
    @tool(name="shop.login", effect="read")
    async def login(ctx: ToolContext) -> str:
        """Log in."""
        return ctx.secret("shop.token")

    async with working(client, login) as call:
        outcome = await call("shop.login")
    assert (outcome.type, outcome.final) == ("ToolFailed", True)
    assert "SUREFOOT_SECRET_SHOP_TOKEN" in outcome.message


async def test_a_secret_gets_into_no_history_and_no_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SUREFOOT_SECRET_SHOP_TOKEN", "hunter2-canary")

    @tool(name="shop.leak", effect="read")
    def leak(ctx: ToolContext, fail: bool) -> dict[str, str]:
        """Careless with its secret."""
        url = f"https://shop.example/?token={ctx.secret('shop.token')}"
        if fail:
            raise ValueError(f"cannot reach {url}")
        return {"url": url}

    async with working(client, leak) as call:
        failed, done = await asyncio.gather(call("shop.leak", fail=True), call("shop.leak", fail=False))
    assert failed.message == "ValueError: cannot reach https://shop.example/?token=[secret]"
    assert done.result is not None
    assert done.result.output == {"url": "https://shop.example/?token=[secret]"}
    for workflow_id in call.ids:
        # As protobuf text, where payloads are not hidden in base64 as they are in the history's JSON.
        history = str((await client.get_workflow_handle(workflow_id).fetch_history()).events)
        assert "[secret]" in history
        assert "hunter2-canary" not in history
    assert "Completing activity as failed" in caplog.text
    assert "hunter2-canary" not in caplog.text


async def test_long_work_gives_signs_of_life_that_repeat_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "INTERVAL", 0.01)
    seen: list[tuple[Any, ...]] = []
    enough = threading.Event()

    def on_heartbeat(*details: Any) -> None:
        seen.append(details)
        if len(seen) >= 4:
            enough.set()

    @tool(name="shop.count", effect="read")
    def count(ctx: ToolContext) -> bool:
        """Report progress once, then work on."""
        ctx.heartbeat({"counted": 10})
        return enough.wait(20)

    environment = ActivityEnvironment()
    environment.on_heartbeat = on_heartbeat
    result = await environment.run(tool_activities([count])[0], call_of())
    assert result.output is True
    assert all(details == ({"counted": 10},) for details in seen)


async def test_a_cancelled_step_stops_async_tools_at_once() -> None:
    started, never = asyncio.Event(), asyncio.Event()

    @tool(name="shop.wait", effect="read")
    async def wait() -> None:
        """Wait for what never comes."""
        started.set()
        await never.wait()

    environment = ActivityEnvironment()
    running = asyncio.ensure_future(environment.run(tool_activities([wait])[0], call_of()))
    await started.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_cancelled_step_stops_plain_functions_at_their_next_heartbeat() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @tool(name="shop.grind", effect="read")
    def grind(ctx: ToolContext) -> None:
        """Work until told to stop."""
        loop.call_soon_threadsafe(started.set)
        try:
            while True:
                ctx.heartbeat()
        finally:
            loop.call_soon_threadsafe(stopped.set)

    environment = ActivityEnvironment()
    running = asyncio.ensure_future(environment.run(tool_activities([grind])[0], call_of()))
    await started.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(stopped.wait(), 60)


class Shelf:
    """A conversation store in memory, or one that cannot be written."""

    def __init__(self, *, broken: bool = False) -> None:
        self.items: dict[str, bytes] = {}
        self._broken = broken

    async def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self.items[key] for key in keys if key in self.items}

    async def put(self, items: Mapping[str, bytes]) -> None:
        if self._broken:
            raise ConversationsUnavailable("the disk is full")
        self.items.update(items)


@tool(name="shop.stock", effect="read")
async def stock() -> dict[str, Any]:
    """What there is."""
    return {"pen": 3, "größe": [1.5, None]}


async def test_a_result_for_an_agent_is_kept_under_the_digest_the_workflow_computes() -> None:
    shelf = Shelf()
    activity = tool_activities([stock], conversations=shelf)[0]
    result = await ActivityEnvironment().run(activity, call_of().model_copy(update={"call_id": "call-7"}))
    message = tool_message("call-7", result.output)
    assert list(shelf.items) == [digest(message)]
    kept = ToolMessage.model_validate_json(shelf.items[digest(message)])
    assert kept == message
    assert json.loads(kept.content) == {"pen": 3, "größe": [1.5, None]}


async def test_only_results_for_agents_are_kept() -> None:
    shelf = Shelf()
    await ActivityEnvironment().run(tool_activities([stock], conversations=shelf)[0], call_of())
    assert shelf.items == {}


async def test_a_tool_does_not_fail_because_its_result_could_not_be_kept() -> None:
    activity = tool_activities([stock], conversations=Shelf(broken=True))[0]
    result = await ActivityEnvironment().run(activity, call_of().model_copy(update={"call_id": "call-7"}))
    assert result.output["pen"] == 3
