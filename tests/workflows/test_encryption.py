"""Encryption on a real server: nothing that people wrote can be read where it lies, and everything works as before."""

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.worker import Replayer

from activities.conversations.opening import open_conversations
from contracts.errors import PayloadUnavailable, SettingsInvalid
from contracts.settings import ModelAlias
from contracts.stores import ConversationSettings
from runtime.client import conversation_retention, data_converter
from runtime.keys import Keys
from runtime.sandbox import workflow_runner
from runtime.settings import EncryptionSettings, Settings
from runtime.watch import Attempt, Watch
from tests.business import eventually
from tests.endpoint import Endpoint
from tests.workflows.office import Office, open_office
from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow

CANARY = re.compile(rb"c4n4ry-\w+|is broken")
"""What the tests plant: input, prompts, arguments, results, errors, answers, decisions."""

OLD = EncryptionSettings(keys={"old": "env:OLD_KEY"})
BOTH = EncryptionSettings(keys={"old": "env:OLD_KEY", "new": "env:NEW_KEY"}, active="new")
NEW = EncryptionSettings(keys={"new": "env:NEW_KEY"})

AGENT = """
    process: with-agent
    input: {type: object}
    agents:
      clerk: {instructions: You guard c4n4ry-instructions., tools: [do.work]}
    steps:
      broken: {tool: do.work, with: {what: c4n4ry-argument, fails: "${ input.fails }"}, on_failure: continue}
      wide: {tool: do.work, with: {what: "${ input.large }"}}
      ask: {agent: clerk, task: "Do ${ input.name }.", with: {name: "${ input.name }"}, needs: [broken]}
      sign: {approval: {title: "Is c4n4ry-title fine?", from: [{any_of: [user:alice]}]}, needs: [ask]}
    output: ${ steps.ask.output }
"""
GATED = """
    process: gated
    steps:
      first: {tool: do.work, with: {what: one}}
      sign: {approval: {title: Fine?, from: [{any_of: [user:alice]}]}, needs: [first]}
      second: {tool: do.work, with: {what: "${ steps.first.output.what }"}, needs: [sign]}
    output: ${ steps.second.output.what }
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in (("OLD_KEY", 1), ("NEW_KEY", 2)):
        monkeypatch.setenv(name, base64.b64encode(bytes([number] * 32)).decode())


async def connected(client: Client, home: Path, encryption: EncryptionSettings) -> Client:
    """The server that all tests share, with keys."""
    address = client.service_client.config.target_host
    return await Client.connect(address, data_converter=data_converter(Settings(home=home, encryption=encryption)))


@pytest_asyncio.fixture
async def office(client: Client, tmp_path: Path, endpoint: Endpoint) -> AsyncIterator[Office]:
    mine = await connected(client, tmp_path, OLD)
    held = Keys.read(OLD, {"OLD_KEY": base64.b64encode(bytes([1] * 32)).decode()})
    retention = await conversation_retention(client)
    store = open_conversations(ConversationSettings(), tmp_path, retention, {}, held)
    models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
    async with open_office(mine, conversations=store, models=models) as opened:
        yield opened
    await store.close()


def lying_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def history_of(client: Client, run: str) -> tuple[WorkflowHistory, bytes]:
    """As the server has it."""
    history = await client.get_workflow_handle(run).fetch_history()
    return history, b"".join(event.SerializeToString() for event in history.events)


async def told(client: Client, run: str) -> str:
    """Why a workflow task of this run failed, as soon as one has."""

    async def look() -> str | None:
        for event in (await client.get_workflow_handle(run).fetch_history()).events:
            if event.HasField("workflow_task_failed_event_attributes"):
                return str(
                    await client.data_converter.decode_failure(event.workflow_task_failed_event_attributes.failure)
                )
        return None

    return str(await eventually(look, lambda found: found is not None))


async def test_nothing_planted_is_found_in_histories_payload_files_or_conversations(
    office: Office, endpoint: Endpoint, client: Client, tmp_path: Path
) -> None:
    endpoint.call(("do_work", {"what": "c4n4ry-of-the-model"}))
    endpoint.call(("do_work", {"what": "c4n4ry-again", "fails": True}))
    endpoint.say("the answer is c4n4ry-answer")
    data = {"name": "c4n4ry-input", "large": "c4n4ry-large" * 10_000, "fails": True}
    run = await office.start(AGENT, data)
    await run.waiting("sign")
    await run.decide("sign", "approve", "user:alice", comment="c4n4ry-comment")
    assert (await run.handle.result()).output == "the answer is c4n4ry-answer"
    view = await run.view()
    assert "c4n4ry-title" in view.model_dump_json()
    assert b"c4n4ry-of-the-model" in json.dumps(endpoint.requests[-1].body).encode()
    for workflow in (run.id, f"{run.id}/ask"):
        history, raw = await history_of(client, workflow)
        assert CANARY.findall(raw) == []
        summaries = [event.user_metadata.summary for event in history.events if event.HasField("user_metadata")]
        assert {payload.metadata["encoding"] for payload in summaries} == {b"binary/encrypted"}
        replayer = Replayer(
            workflows=[ProcessWorkflow, AgentWorkflow],
            workflow_runner=workflow_runner(),
            data_converter=office.client.data_converter,
        )
        await replayer.replay_workflow(history)
    assert (tmp_path / "payloads").is_dir()
    assert (tmp_path / "conversations.db").stat().st_size > 0
    assert CANARY.findall(lying_in(tmp_path)) == []


async def test_what_failed_is_told_to_those_who_have_the_keys_and_to_nobody_else(
    office: Office, client: Client
) -> None:
    text = AGENT.replace(", on_failure: continue", ", on_failure: fail").replace('"${ input.fails }"', "true")
    run = await office.start(text, {"name": "x", "large": "y", "fails": True})
    with pytest.raises(WorkflowFailureError) as caught:
        await run.handle.result()
    assert "broken is broken" in str(caught.value.cause)
    _, raw = await history_of(client, run.id)
    assert b"is broken" not in raw
    assert b"Encoded failure" in raw
    assert b"Traceback" not in raw
    assert b"runner.py" not in raw


async def test_what_an_attempt_failed_with_is_shown_while_it_is_tried_again(office: Office, client: Client) -> None:
    run = await office.start("""
        process: waits
        steps: {look: {tool: do.look, with: {fail_times: 1}, retry: {attempts: 2, first: 1h}}}
    """)

    async def attempt() -> Attempt | None:
        attempts = (await Watch(office.client, run.id).look()).attempts
        return next((found for found in attempts.values() if found.failure), None)

    tried = await eventually(attempt, lambda found: found is not None)
    assert "no line" in tried.failure
    described = await client.get_workflow_handle(run.id).describe()
    assert described.raw_description.pending_activities[0].last_failure.message == "Encoded failure"
    await run.handle.terminate()


@pytest.mark.slow
async def test_a_key_rotated_in_mid_run_loses_nothing(client: Client, tmp_path: Path) -> None:
    async with open_office(await connected(client, tmp_path, OLD)) as office:
        run = await office.start(GATED)
        await run.waiting("sign")
    rotated = await connected(client, tmp_path, BOTH)
    async with open_office(rotated, queue=office.queue):
        handle = rotated.get_workflow_handle(run.id)
        await handle.execute_update("decide", {"step": "sign", "decision": "approve", "by": "user:alice"})
        assert (await handle.result())["output"] == "one"
    _, raw = await history_of(client, run.id)
    assert {b"old", b"new"} <= set(re.findall(rb"encryption-key-id\x12.(old|new)", raw))


@pytest.mark.slow
async def test_a_missing_key_stops_a_run_until_it_is_back(client: Client, tmp_path: Path) -> None:
    async with open_office(await connected(client, tmp_path, OLD)) as office:
        run = await office.start(GATED)
        await run.waiting("sign")
    forgetful = await connected(client, tmp_path, NEW)
    async with open_office(forgetful, queue=office.queue):
        await forgetful.get_workflow_handle(run.id).signal("decide", {"step": "x", "decision": "approve", "by": "x"})
        why = await told(forgetful, run.id)
    assert "key 'old' is not one of encryption.keys (new)" in why
    mended = await connected(client, tmp_path, BOTH)
    async with open_office(mended, queue=office.queue):
        handle = mended.get_workflow_handle(run.id)
        await handle.execute_update("decide", {"step": "sign", "decision": "approve", "by": "user:alice"})
        assert (await handle.result())["output"] == "one"


async def test_a_program_without_keys_is_told_which_setting_is_missing(office: Office, tmp_path: Path) -> None:
    (sealed,) = await office.client.data_converter.encode(["secret"])
    with pytest.raises(PayloadUnavailable, match=r"encrypted with key 'old', and encryption\.keys is not set"):
        await data_converter(Settings(home=tmp_path)).decode([sealed])


async def test_another_key_of_the_same_name_is_said(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sealed,) = await office.client.data_converter.encode(["secret"])
    monkeypatch.setenv("OLD_KEY", base64.b64encode(bytes(32)).decode())
    with pytest.raises(PayloadUnavailable, match=r"encryption\.keys\.old is not the key it was encrypted with"):
        await data_converter(Settings(home=tmp_path, encryption=OLD)).decode([sealed])


async def test_what_was_not_encrypted_is_read_as_it_is(office: Office, tmp_path: Path) -> None:
    (clear,) = await data_converter(Settings(home=tmp_path)).encode(["from before"])
    assert await office.client.data_converter.decode([clear]) == ["from before"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", r"encryption\.keys\.old: the variable OLD_KEY is not set"),
        ("not base64!", r"encryption\.keys\.old: env:OLD_KEY holds no key.*openssl rand -base64 32"),
        ("c2hvcnQ=", r"encryption\.keys\.old: env:OLD_KEY holds no key"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("OLD_KEY", value)
    with pytest.raises(SettingsInvalid, match=said) as caught:
        data_converter(Settings(encryption=OLD))
    assert not value or value not in str(caught.value)
