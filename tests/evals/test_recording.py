"""A recording that models do not answer: it ends with one message, and takes nothing away."""

import json
import os
import socket
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from activities.model.attempts import ATTEMPTS
from activities.model.errors import Fault, Kind
from contracts.errors import CallerError
from contracts.evals import BASELINE_FILE, RECORDED_FILE, EvalReport, RecordedReply
from contracts.model import ModelReply
from contracts.settings import ModelAlias
from evals.evaluate import evaluate
from evals.recording import LONGEST, Recorder
from evals.unfinished import Unfinished
from runtime.catalog import Catalog
from runtime.settings import PROJECT, Settings
from tests.endpoint import Answered, Endpoint
from tests.evals.test_evaluate import written
from tests.warm.python import WarmPython

OLD = '{"what": "was recorded before"}'
TRIES = ["letters: case to-ada, try 1 of 2", "letters: case to-ada, try 2 of 2"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a process whose answers were recorded before."""
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
    made = written(tmp_path)
    (made / RECORDED_FILE).write_text(OLD)
    return made


async def recorded(folder: Path, url: str, told: list[str]) -> EvalReport:
    """`told`: how far it is."""
    alias = ModelAlias(model="m", base_url=url, probe_every=timedelta(seconds=1))
    settings = Settings(home=folder.parent / "home", models={"default": alias})
    definition = Catalog.load([folder.parent]).definition("letters")

    def tell(done: int, total: int, now: str) -> None:
        told.append(now)

    return await evaluate(definition, folder, settings, None, record=True, tell=tell)


def kept(folder: Path) -> Path:
    return folder.parent / "home/evals/letters.json"


async def test_a_key_that_is_refused_ends_it_and_finished_tries_are_not_asked_for_again(
    folder: Path, endpoint: Endpoint
) -> None:
    endpoint.say("Dear Ada, good day.")
    endpoint.fail(401, message="no such key")
    told: list[str] = []
    with pytest.raises(CallerError) as caught:
        await recorded(folder, endpoint.url, told)
    said = str(caught.value)
    assert said.startswith("letters: case to-ada, try 2: the model default gave no answer that could be recorded: m at")
    assert "answered 401: no such key; check OPENAI_API_KEY" in said
    assert "Nothing was written to" in said
    assert "Finished tries (1) are kept in" in said
    assert ((folder / RECORDED_FILE).read_text(), kept(folder).exists()) == (OLD, True)

    endpoint.say("Hi!")
    report = await recorded(folder, endpoint.url, told)
    assert len(endpoint.requests) == 3
    assert [each.passed for each in report.cases[0].tries] == [True, False]
    whole = json.loads((folder / RECORDED_FILE).read_text())["tries"]["to-ada"]
    assert [len(replies) for replies in whole] == [1, 1]
    assert not kept(folder).exists()
    assert told == 2 * TRIES


@pytest.mark.slow
async def test_a_model_that_cannot_be_reached_ends_it_as_soon_as_that_is_sure(folder: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        told: list[str] = []
        with pytest.raises(CallerError, match=f"the model default does not answer: m at {url}: no connection"):
            await recorded(folder, url, told)
    again = f"{TRIES[0]}: the model default is asked again: m at {url}: no connection (All connection attempts failed)"
    assert told == [TRIES[0], *[again] * (ATTEMPTS - 1)]
    assert ((folder / RECORDED_FILE).read_text(), kept(folder).exists()) == (OLD, False)


@pytest.mark.slow
async def test_a_try_that_takes_too_long_ends_it_with_what_the_model_said_last(
    folder: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.trying.LONGEST", 3.0)
    endpoint.default = lambda asked: Answered(429, "{}", headers={"retry-after": "60"}, exact=True)
    with pytest.raises(CallerError) as caught:
        await recorded(folder, endpoint.url, [])
    said = str(caught.value)
    assert "try 1: letters-" in said
    assert "a try has 0.05 minutes at most" in said
    assert "did not come to its end; it is running: letter running; the model default is asked again: m at" in said


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--accept",)], ids=["recorded", "accepted"])
def test_the_command_leaves_recording_and_baseline_as_they_were(
    folder: Path, endpoint: Endpoint, warm_python: WarmPython, options: tuple[str, ...]
) -> None:
    (folder / BASELINE_FILE).write_text(OLD)
    endpoint.default = lambda asked: Answered(401, '{"error": {"message": "no such key"}}', exact=True)
    called = subprocess.run(
        [str(warm_python.program), str(PROJECT / "starter.py"), "eval", "letters", "--record", *options],
        env={**os.environ, "SUREFOOT_PROCESSES": str(folder.parent), "OPENAI_BASE_URL": endpoint.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert called.returncode == 2
    assert "answered 401: no such key; check OPENAI_API_KEY" in called.stderr
    assert TRIES[0] in called.stderr
    assert "Traceback" not in called.stderr
    assert [(folder / file).read_text() for file in (RECORDED_FILE, BASELINE_FILE)] == [OLD, OLD]


def fault(kind: Kind, *, seconds: float | None = None, broken: bool = False) -> Fault:
    return Fault(kind, "why", None if seconds is None else timedelta(seconds=seconds), broken)


@pytest.mark.parametrize(
    ("answered", "again", "given_up"),
    [
        (fault("no_access"), False, True),
        (fault("missing"), False, True),
        (fault("unknown"), True, False),
        (fault("unknown"), False, True),
        (fault("too_long"), False, False),
        (fault("slip"), False, False),
        (fault("busy", seconds=60), True, False),
        (fault("busy", seconds=LONGEST + 1), True, True),
        (fault("held", seconds=5), True, False),
        (fault("held", seconds=5), False, True),
    ],
)
def test_what_is_no_answer_and_no_outcome_cannot_be_recorded(answered: Fault, again: bool, given_up: bool) -> None:
    recorder = Recorder((), lambda trouble: None)
    recorder.heard("default", answered, again=again)
    assert (recorder.given_up is not None) is given_up


def test_a_model_that_answers_in_between_is_not_down(reply: ModelReply) -> None:
    recorder = Recorder((), lambda trouble: None)
    for _ in range(ATTEMPTS - 1):
        recorder.heard("default", fault("passing", broken=True), again=True)
    recorder.heard("default", reply, again=False)
    assert recorder.trouble == ""
    recorder.heard("default", fault("passing", broken=True), again=True)
    assert recorder.given_up is None


@pytest.fixture
def reply() -> ModelReply:
    return ModelReply.model_validate({"message": {"content": "ok"}, "finish": "stop", "model": "m", "usage": {}})


ANSWER = RecordedReply(request="1" * 64, status=200, content_type="application/json", body="{}", seconds=0.1)


def test_what_other_models_said_before_is_asked_anew(tmp_path: Path) -> None:
    file = tmp_path / "evals/letters.json"
    one, other = ({"default": ModelAlias(model=name)} for name in ("one", "other"))
    unfinished = Unfinished(file, one)
    unfinished.keep("to-ada", 0, (ANSWER,))
    unfinished.keep("to-ada", 1, ())
    unfinished.keep("to-ada", 0, (ANSWER, ANSWER))
    assert [Unfinished(file, one).of("to-ada", index) for index in range(3)] == [(ANSWER, ANSWER), (), ()]
    assert Unfinished(file, other).of("to-ada", 0) == ()
    file.write_text("not JSON")
    with pytest.raises(CallerError, match=r"letters.json holds no answers \(.*\); delete it"):
        Unfinished(file, one)
