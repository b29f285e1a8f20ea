import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Replayer, Worker
from uuid_utils import uuid7

from contracts.settings import ModelAlias
from contracts.stores import ConversationSettings
from runtime.client import data_converter
from runtime.logging import configure_logging
from runtime.sandbox import patient, workflow_runner
from runtime.settings import EncryptionSettings, Settings
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


SECRET_FORMS = [
    "c4n4ry-value",
    "prefix c4n4ry-value, suffix",
    'c4n4ry "quoted" \\ value',
    "postgresql://app:c4n4ry-in-url@db/app",
    "Authorization: Bearer c4n4ry.abc.def",
    "sk-proj-c4n4ry0123456789",
]


@pytest.mark.parametrize("log", ["json", "pretty"])
@pytest.mark.parametrize("text", SECRET_FORMS)
def test_a_secret_is_in_no_line_however_it_gets_there(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, text: str, log: Any
) -> None:
    monkeypatch.setenv("SUREFOOT_SECRET_ERP_TOKEN", "c4n4ry-value")
    monkeypatch.setenv("SUREFOOT_SECRET_ODD", 'c4n4ry "quoted" \\ value')
    configure_logging(Settings(log=log), stream)

    def fails(error: Exception) -> None:
        raise RuntimeError(f"no line: {text}") from error

    logger = structlog.get_logger()
    logger.info(text)
    logger.info("calling", url=text, nested=[{"inner": text}])
    try:
        fails(ConnectionError(f"refused {text}"))
    except RuntimeError:
        logger.exception("broken")
        logging.getLogger("other").warning("of %s", text, exc_info=True)
    assert "no line: " in stream.getvalue()
    assert "c4n4ry" not in stream.getvalue()


REFERENCES: dict[str, Any] = {
    "models": {"other": ModelAlias(key_env="OTHER_KEY")},
    "encryption": EncryptionSettings(keys={"k": "env:KEY_OF_RUNS"}, codec_token="env:CODEC_WORD"),
    "conversations": ConversationSettings(store="redis://127.0.0.1:1/0", password="env:REDIS_WORD"),
}


@pytest.mark.parametrize(
    "variable",
    ["OTHER_KEY", "KEY_OF_RUNS", "CODEC_WORD", "REDIS_WORD", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"],
)
def test_what_settings_and_variables_hold_as_secrets_is_known(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    value = "postgresql://app:c4n4ry%2Fword@db/app" if variable == "DATABASE_URL" else "c4n4ry%2Fword"
    monkeypatch.setenv(variable, value)
    configure_logging(Settings(**REFERENCES), stream)
    structlog.get_logger().info("said c4n4ry%2Fword")
    assert "said [secret]" in stream.getvalue()


def test_words_that_are_no_secrets_stay(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_SECRET_SHORT", "a")
    configure_logging(Settings(), stream)
    text = "Basic information: a task-0123456789abcdef of http://127.0.0.1:8233/x for the bearer of news, user@host"
    structlog.get_logger().info(text)
    assert lines(stream)[0]["event"] == text


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
    async with patient(Worker(client, task_queue=run, workflows=[UsesWhatIsShared], workflow_runner=workflow_runner())):
        await client.execute_workflow(UsesWhatIsShared.run, 1, id=run, task_queue=run)
    history = await client.get_workflow_handle(run).fetch_history()
    told = [line for line in lines(stream) if line["event"] == "checking"]
    assert [(line["run"], line["amount"]) for line in told] == [(run, 1)]
    said = datetime.fromisoformat(told[0]["timestamp"])
    apart = min(abs(said - event.event_time.ToDatetime(tzinfo=UTC)) for event in history.events)
    assert apart <= timedelta(microseconds=1)  # the SDK rounds the server's nanoseconds
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
