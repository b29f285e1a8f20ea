"""Releases from the command line: histories that replay or diverge, runs that move or say why not, orders of builds."""

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from cli.replay import read_history
from contracts.errors import CallerError
from runtime.settings import load_settings
from tests.business import eventually
from tests.cli.conftest import Starter, at_work, until_waiting

ROOT = Path(__file__).parents[2]
HISTORIES = ROOT / "tests" / "histories"


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    file.write_text(text)


async def test_committed_histories_replay(starter: Starter) -> None:
    one = str(HISTORIES / "invoice-two-people.json")
    ended = await starter("replay", one)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "1 of 1 histories replay")
    told = (await starter("replay", one, "--json")).json["histories"]
    assert [(each["type"], each["problem"]) for each in told] == [("Process", None)]


async def test_a_history_that_diverges_is_told_with_the_place_and_status_1(starter: Starter, tmp_path: Path) -> None:
    text = (HISTORIES / "invoice-two-people.json").read_text()
    planted = tmp_path / "planted.json"
    planted.write_text(text.replace("erp.read_order", "erp.read_other"))
    ended = await starter("replay", str(tmp_path))
    assert ended.status == 1
    assert f"DIVERGES  Process {planted}" in ended.out
    assert "erp.read_other" in ended.out
    assert ended.out.splitlines()[-1] == "0 of 1 histories replay"


async def test_a_run_that_was_to_begin_later_has_decided_nothing_yet(starter: Starter, tmp_path: Path) -> None:
    history = json.loads((HISTORIES / "invoice-two-people.json").read_text())
    (tmp_path / "delayed.json").write_text(json.dumps({"events": history["events"][:1]}))
    ended = await starter("replay", str(tmp_path))
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "1 of 1 histories replay")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to replay: files, folders with histories, runs by id, or --last N"),
        (("language/tools",), "there is no history (*.json) in this folder"),
        (("nothing-of-this-name",), "there is no file and no workflow 'nothing-of-this-name'"),
        (("package.json",), "package.json: this is no history in JSON"),
    ],
)
async def test_what_cannot_be_replayed_is_a_wrong_call(starter: Starter, words: tuple[str, ...], said: str) -> None:
    ended = await starter("replay", *words)
    assert ended.status == 2
    assert said in ended.err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"events": []}', "it has no events"),
        ('{"a": 1}', "it has no events"),
        ("[]", "it has no events"),
        ('{"events": [{"eventType": "EVENT_TYPE_TIMER_STARTED"}]}', "its events do not begin with the start of"),
        ("once", "Expecting value: line 1 column 1"),
    ],
)
def test_a_file_that_is_no_history_is_told_with_what_it_should_be(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(CallerError) as told:
        read_history(file)
    said = "this is no history in JSON, as `temporal workflow show --output json` saves it"
    assert str(told.value).startswith(f"{file}: {said}: {why}")


@pytest.mark.usefixtures("running")
async def test_a_run_is_replayed_and_moved_to_the_file_as_it_is_now(starter: Starter, process_file: Path) -> None:
    await starter("run", "flaky", "--id", "moves", "--input", '{"item": "chair"}')
    await until_waiting(starter, "flaky-moves", "waiting")
    assert (await starter("replay", "flaky-moves")).out.endswith("1 of 1 histories replay\n")

    refused = await starter("migrate", "flaky-moves")
    assert refused.status == 2
    assert "is on this definition of flaky (version 2)" in refused.err

    edit(process_file, ("version: 2", "version: 3"), ("taken:", "had:"))
    dry = await starter("migrate", "flaky-moves", "--dry-run")
    assert dry.status == 0
    assert "the run can be moved: it goes on with version 3 of flaky instead of version 2" in dry.out
    moved = await starter("migrate", "flaky-moves", "nobody", "--json")
    assert moved.status == 2, "one of the two is no run"
    first, second = moved.json["runs"]
    assert first["status"] == "migrated"
    assert "there is no run 'nobody'" in second["error"]["message"]
    await eventually(lambda: starter("status", "flaky-moves", "--json"), lambda said: said.json.get("version") == 3)
    await until_waiting(starter, "flaky-moves", "waiting")

    edit(process_file, ("version: 3", "version: 4"), ("input.item", "input.item + 's'"))
    kept = await starter("migrate", "flaky-moves")
    assert kept.status == 2
    assert "stock is completed, and its with would change" in kept.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote",), "say which build to promote"),
        (("rollback", "v1"), "rollback takes no build"),
        (("ramp", "v1"), "ramp needs --percent N"),
        (("promote", "v1", "--percent", "5"), "--percent goes with ramp, not promote"),
        (("promote", "v1", "--move"), "--move and --wait go with drain"),
        ((), "no deployment is named"),
    ],
)
async def test_an_order_that_does_not_go_together_is_a_wrong_call(
    starter: Starter, words: tuple[str, ...], said: str
) -> None:
    ended = await starter("deploy", *words)
    assert ended.status == 2
    assert said in ended.err


async def test_a_deployment_without_workers_is_told(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_DEPLOYMENT", "nobody-is-here")
    ended = await starter("deploy", "--json")
    assert ended.status == 2
    assert "start one with SUREFOOT_DEPLOYMENT=nobody-is-here" in json.loads(ended.out)["error"]["message"]


@pytest.mark.slow
async def test_a_build_gets_runs_when_it_is_promoted_and_is_emptied_when_it_is_drained(
    starter: Starter, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUREFOOT_DEPLOYMENT", f"dep-{uuid4().hex}")

    def build(build_id: str) -> AbstractAsyncContextManager[None]:
        return at_work(load_settings().model_copy(update={"build_id": build_id}), client)

    async def open_on() -> dict[str, int]:
        shown = await starter("deploy", "--json")
        return {each["build_id"]: each["open"] for each in shown.json["releases"]}

    async with build("v1"):
        await starter("run", "flaky", "--id", "drained", "--input", '{"item": "chair"}')
        told = " ".join((await starter("status", "flaky-drained")).out.split())
        assert "its workers are builds that get no runs until they are told to; `starter.py deploy promote v1`" in told
        await starter("deploy", "promote", "v1")
        await until_waiting(starter, "flaky-drained", "waiting")
        async with build("v2"):
            await starter("deploy", "promote", "v2")
            assert await eventually(open_on, lambda found: sum(found.values()) > 0) == {"v1": 1, "v2": 0}
            full = await starter("deploy", "drain", "v1")
            assert full.out.splitlines()[-1] == "  flaky-drained"
            assert "deploy drain v1 --move`" in full.out
            emptied = await starter("deploy", "drain", "v1", "--move")
            assert "flaky-drained: the run goes on with the release of the workers that new runs get" in emptied.err
            assert emptied.out.startswith("build v1 is draining: no run is on it any more")
            assert await eventually(open_on, lambda found: found["v1"] == 0) == {"v1": 0, "v2": 1}
