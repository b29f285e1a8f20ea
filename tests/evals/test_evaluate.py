"""An evaluation of a process: recorded from an endpoint, replayed without one, graded by what came of each try."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.errors import CallerError, RecordingMissing
from contracts.evals import BASELINE_FILE, RECORDED_FILE, Case, EvalReport
from contracts.run import Cost, RunView, StepView
from evals.evaluate import evaluate
from evals.trying import grade
from runtime.catalog import Catalog
from runtime.settings import PROJECT, Settings
from testkit import Called
from tests.endpoint import Endpoint, open_endpoint

PROCESS = """
process: letters
version: 1
description: Write a letter
input: {type: object, required: [to], properties: {to: {type: string}}}
agents:
  writer: {instructions: Write to people.}
steps:
  letter: {agent: writer, task: "Write to ${ input.to }."}
output: {letter: "${ steps.letter.output }"}
"""
EVALS = """
runs: 2
k: 2
cases:
  - name: to-ada
    input: {to: Ada}
    expect: ["${ output.letter.startsWith('Dear Ada') }", "${ model_calls == 1 && tokens == 120 }"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
    return written(tmp_path)


def written(home: Path) -> Path:
    """The process's folder."""
    made = home / "letters"
    made.mkdir()
    (made / "process.yaml").write_text(PROCESS)
    (made / "evals.yaml").write_text(EVALS)
    return made


async def evaluated(folder: Path, *, record: bool = False, runs: int | None = None) -> EvalReport:
    definition = Catalog.load([folder.parent]).definition("letters")
    return await evaluate(definition, folder, Settings(), runs, record=record)


@dataclass(frozen=True)
class Recorded:
    """`file`: of the answers. `requests`: what the endpoint was asked for them, before anything is replayed."""

    report: EvalReport
    file: Path
    requests: int


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with open_endpoint() as opened:
        opened.fail(429, headers={"retry-after": "0"}, message="busy")
        opened.say("Dear Ada, good day.")
        opened.say("Hi!")
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def recording(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Of two tries, whose first passes."""
    home = tmp_path_factory.mktemp("recording")
    folder = written(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUREFOOT_HOME", str(home / "home"))
        patch.setenv("OPENAI_BASE_URL", endpoint.url)
        report = await evaluated(folder, record=True)
    return Recorded(report, folder / RECORDED_FILE, len(endpoint.requests))


@pytest.fixture
def recorded(folder: Path, recording: Recorded) -> EvalReport:
    """The answers are there, and accepted. No model is set up."""
    shutil.copy(recording.file, folder)
    (folder / BASELINE_FILE).write_text(recording.report.now.model_dump_json())
    return recording.report


async def test_what_was_recorded_comes_out_the_same_and_nobody_is_asked(
    folder: Path, recorded: EvalReport, recording: Recorded, endpoint: Endpoint
) -> None:
    assert [case.passed for case in recorded.cases] == [1]
    assert recorded.cases[0].tries[1].failed == ("${ output.letter.startsWith('Dear Ada') }",)
    assert (recorded.score.pass_1.value, recorded.score.pass_k.value) == (0.5, 0)
    replayed = await evaluated(folder)
    assert len(endpoint.requests) == recording.requests == 3
    assert replayed.cases == recorded.cases
    assert (replayed.accepted, replayed.regressions) == (recorded.now, ())


@pytest.mark.usefixtures("recorded")
async def test_another_prompt_is_a_missing_recording_and_never_a_call(folder: Path, endpoint: Endpoint) -> None:
    asked = endpoint.connections
    process = folder / "process.yaml"
    process.write_text(process.read_text().replace("Write to people", "Write kindly to people"))
    with pytest.raises(RecordingMissing, match=r"evals.recorded.json: case to-ada, try 1: an agent asked what nobody"):
        await evaluated(folder)
    assert endpoint.connections == asked


@pytest.mark.usefixtures("recorded")
async def test_the_same_answers_graded_worse_are_a_regression(folder: Path) -> None:
    cases = folder / "evals.yaml"
    cases.write_text(cases.read_text().replace("Dear Ada", "Dear Eve"))
    found = await evaluated(folder)
    assert found.regressions == ("to-ada: 0 of 2 pass, 1 of 2 were accepted with the same recorded answers",)


async def test_a_try_that_was_never_recorded_fails(folder: Path, recorded: EvalReport) -> None:
    with pytest.raises(RecordingMissing, match="case to-ada, try 3: never recorded"):
        await evaluated(folder, runs=3)


async def test_without_recording_or_model_it_is_said_what_to_do(folder: Path) -> None:
    with pytest.raises(RecordingMissing, match=r"evals.recorded.json: there is no such file; record answers"):
        await evaluated(folder)
    with pytest.raises(CallerError, match="no model is set up to record"):
        await evaluated(folder, record=True)
    with pytest.raises(CallerError, match=r"--runs 1: pass\^2 needs 2 runs at least"):
        await evaluated(folder, runs=1)
    assert not (folder / RECORDED_FILE).exists()
    (folder / "evals.yaml").unlink()
    with pytest.raises(CallerError, match=r"evals.yaml: there is no such file; write the cases of letters"):
        await evaluated(folder)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("recorded")
def test_the_command_accepts_and_tells_what_is_worse_by_its_exit_status(folder: Path) -> None:
    (folder / BASELINE_FILE).unlink()

    def called(*options: str) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, str(PROJECT / "starter.py"), "eval", "letters", *options]
        environment = {**os.environ, "SUREFOOT_PROCESSES": str(folder.parent), "COLUMNS": "120"}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=110)

    unknown = called()
    assert (unknown.returncode, "nothing was accepted yet" in unknown.stdout) == (1, True)
    accepted = called("--accept", "--json")
    assert (accepted.returncode, json.loads(accepted.stdout)["evals"][0]["score"]["pass_1"]["value"]) == (0, 0.5)
    cases = folder / "evals.yaml"
    cases.write_text(cases.read_text().replace("Dear Ada", "Dear Eve"))
    worse = called()
    assert (worse.returncode, "WORSE: to-ada: 0 of 2 pass" in worse.stdout) == (1, True)
    (folder / RECORDED_FILE).unlink()
    missing = called()
    assert (missing.returncode, "there is no such file; record answers" in missing.stderr) == (1, True)


PAID = Called("bank.transfer", "pay", "run/pay", 1, {"amount": 5})
TAKEN_BACK = Called("bank.reverse", "pay", "run/pay/undo", 1, {})


@pytest.mark.parametrize(
    ("criterion", "effects", "why"),
    [
        ("${ output.id == 'T-1' && steps.pay.status == 'completed' }", [PAID], None),
        ("${ effects.exists_one(e, e.tool == 'bank.transfer' && !e.undone) }", [PAID], None),
        ("${ effects.exists_one(e, !e.undone) }", [PAID, TAKEN_BACK], "${ effects.exists_one(e, !e.undone) }"),
        ("${ effects.all(e, e.undone) && effects.size() == 1 }", [PAID, TAKEN_BACK], None),
        ("${ calls.filter(c, c.tool == 'bank.transfer').size() <= 1 }", [PAID], None),
        ("${ cost < 0.01 && seconds < 2.0 && tokens < 100 }", [], None),
        ("${ cost < 0.001 }", [], "${ cost < 0.001 }"),
        ("${ output.nothing == 1 }", [], "nothing"),
    ],
)
def test_an_end_is_graded_by_what_it_left(criterion: str, effects: list[Called], why: str | None) -> None:
    view = RunView(
        run="run",
        process="letters",
        version=1,
        status="completed",
        output={"id": "T-1"},
        cost=Cost(amount=0.005, tokens=90, calls=1),
        started=datetime(2026, 1, 5, tzinfo=UTC),
        steps=(StepView(id="pay", kind="tool", title="pay", status="completed"),),
    )
    tried = grade(Case(name="one", expect=(criterion,)), view, 1.5, effects=effects, calls=effects)
    assert tried.passed is (why is None)
    assert why is None or why in tried.failed[0]
