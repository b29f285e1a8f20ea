import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Replayer, Worker
from uuid_utils import uuid7

from runtime.client import data_converter
from runtime.logging import configure_logging
from runtime.sandbox import workflow_runner
from runtime.settings import Settings
from tests.runtime.sandboxed import UsesWhatIsShared


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_where_nobody_looks_logs_are_json_with_time_and_level(stream: io.StringIO) -> None:
    configure_logging(Settings(), stream)
    structlog.get_logger().warning("something", amount=3)
    (line,) = lines(stream)
    assert (line["event"], line["amount"], line["level"]) == ("something", 3, "warning")
    assert line["timestamp"].startswith("20")


def test_pretty_logs_are_for_people(stream: io.StringIO) -> None:
    configure_logging(Settings(log="pretty"), stream)
    structlog.get_logger().info("something", amount=3)
    assert "something" in stream.getvalue()
    assert "amount=3" in stream.getvalue()


def test_the_standard_librarys_loggers_come_out_the_same_way(stream: io.StringIO) -> None:
    configure_logging(Settings(), stream)
    logging.getLogger("other").warning("of %s", "others")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("of others", "warning")


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    configure_logging(Settings(log_level="error"), stream)
    structlog.get_logger().warning("quiet")
    logging.getLogger("other").warning("quiet")
    assert lines(stream) == []


@pytest.mark.parametrize("key", ["password", "api_key", "Authorization", "erp_token", "client_secret"])
def test_a_secret_is_not_written(stream: io.StringIO, key: str) -> None:
    configure_logging(Settings(), stream)
    structlog.get_logger().info("calling", **{key: "canary-1", "arguments": {"nested": [{key: "canary-2"}]}})
    assert "canary" not in stream.getvalue()
    assert lines(stream)[0]["event"] == "calling"


def test_numbers_of_tokens_are_no_secret(stream: io.StringIO) -> None:
    configure_logging(Settings(), stream)
    structlog.get_logger().info("answered", tokens=12, input_tokens=7)
    assert (lines(stream)[0]["tokens"], lines(stream)[0]["input_tokens"]) == (12, 7)


async def test_an_activity_says_its_run_step_and_attempt(stream: io.StringIO) -> None:
    configure_logging(Settings(), stream)

    @activity.defn
    async def work() -> None:
        structlog.get_logger().info("at work")

    environment = ActivityEnvironment()
    await environment.run(work)
    (line,) = lines(stream)
    assert line["run"] == environment.info.workflow_id
    assert (line["step"], line["attempt"]) == (environment.info.activity_id, environment.info.attempt)


async def test_a_workflow_says_its_run_in_its_own_time_and_nothing_when_it_replays(
    client: Client, stream: io.StringIO
) -> None:
    configure_logging(Settings(), stream)
    run = f"logs-{uuid7()}"
    async with Worker(client, task_queue=run, workflows=[UsesWhatIsShared], workflow_runner=workflow_runner()):
        await client.execute_workflow(UsesWhatIsShared.run, 1, id=run, task_queue=run)
    history = await client.get_workflow_handle(run).fetch_history()
    told = [line for line in lines(stream) if line["event"] == "checking"]
    assert [(line["run"], line["amount"]) for line in told] == [(run, 1)]
    stamps = [event.event_time.ToDatetime().isoformat(timespec="milliseconds") for event in history.events]
    assert any(told[0]["timestamp"].startswith(stamp) for stamp in stamps)
    before = stream.getvalue()
    replayer = Replayer(
        workflows=[UsesWhatIsShared], workflow_runner=workflow_runner(), data_converter=data_converter(Settings())
    )
    await replayer.replay_workflow(history)
    assert [line for line in lines(io.StringIO(stream.getvalue()[len(before) :])) if "run" in line] == []


async def test_what_a_task_bound_stays_with_that_task(stream: io.StringIO) -> None:
    configure_logging(Settings(), stream)

    async def speak(agent: str) -> None:
        with structlog.contextvars.bound_contextvars(agent=agent):
            await asyncio.sleep(0)
            structlog.get_logger().info(agent)

    await asyncio.gather(speak("auditor"), speak("buddy"))
    assert {(line["event"], line["agent"]) for line in lines(stream)} == {("auditor", "auditor"), ("buddy", "buddy")}
