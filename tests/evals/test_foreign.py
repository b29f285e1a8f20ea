"""Agents of other frameworks in evaluations: answered by an alias they are recorded and replayed, else refused."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from contracts.adapters import GROUPS, Framework
from contracts.errors import CallerError
from contracts.evals import RECORDED_FILE, EvalReport
from contracts.settings import ModelAlias
from evals.evaluate import evaluate
from evals.recording import Replayer
from runtime.catalog import Catalog
from runtime.settings import Settings
from testkit.opening import Models, open_trial
from tests.endpoint import Answered, Endpoint, completion

FILES = Path(__file__).parents[1] / "activities/adapters/files"
PACKAGES: dict[Framework, str] = {"pydantic_ai": "pydantic_ai", "openai_agents": "agents", "langgraph": "langgraph"}
EVALS = "runs: 1\nk: 1\ncases:\n  - {name: one, input: {}, expect: [\"${ output == 'done' }\"]}\n"
OWN: dict[Framework, str] = {"pydantic_ai": "with_model", "openai_agents": "with_model", "langgraph": "scorer"}
"""Agents whose models are none of ours, as far as anybody can see."""


@pytest.fixture(params=PACKAGES)
def framework(request: pytest.FixtureRequest, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Framework:
    chosen: Framework = request.param
    if find_spec(PACKAGES[chosen]) is None:
        pytest.skip(f"make setup WITH={GROUPS[chosen]}")
    monkeypatch.setenv("OWN_MODEL_URL", endpoint.url)
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    endpoint.default = lambda asked: Answered(body=json.dumps(completion(asked, "done", (), "stop", (100, 20))))
    return chosen


STARTING = {
    "by-step": "steps:\n  go: {process: with-team}\n",
    "by-agent": """
agents:
  boss: {instructions: You have others work., tools: [process.with-team]}
steps:
  go: {agent: boss, task: Go.}
""",
}


def write(home: Path, framework: Framework, agent: str, own_tools: str = "false") -> Path:
    """The folder of a process whose agent that is."""
    folder = home / "with-team"
    folder.mkdir()
    shutil.copy(FILES / f"with_{framework}.py", folder / "team.py")
    adapter = f"{{{framework}: 'team.py:{agent}', own_tools: {own_tools}}}"
    (folder / "process.yaml").write_text(
        f"process: with-team\ninput: {{type: object}}\nagents:\n  clerk: {{adapter: {adapter}}}\n"
        "steps:\n  desk: {steps: {ask: {agent: clerk, task: Do it.}}}\noutput: ${ steps.desk.output.ask }\n"
    )
    (folder / "evals.yaml").write_text(EVALS)
    return folder


async def evaluated(folder: Path, *, record: bool) -> EvalReport:
    definition = Catalog.load([folder.parent]).definition(folder.name)
    return await evaluate(definition, folder, Settings(), None, record=record)


async def test_an_agent_that_its_alias_answers_is_recorded_and_replayed(
    framework: Framework, tmp_path: Path, endpoint: Endpoint
) -> None:
    folder = write(tmp_path, framework, "clerk")
    recorded = await evaluated(folder, record=True)
    asked = len(endpoint.requests)
    replayed = await evaluated(folder, record=False)
    assert [case.passed for case in recorded.cases] == [case.passed for case in replayed.cases] == [1]
    assert len(endpoint.requests) == asked > 0


async def test_a_key_that_is_refused_ends_the_recording(
    framework: Framework, tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.default = lambda asked: Answered(401, '{"error": {"message": "no such key"}}', exact=True)
    folder = write(tmp_path, framework, "clerk")
    with pytest.raises(CallerError, match=r"the model default gave no answer .* answered 401: no such key; check OPEN"):
        await evaluated(folder, record=True)
    assert not (folder / RECORDED_FILE).exists()


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "replayed"])
async def test_one_with_a_model_of_its_own_is_refused_before_anybody_is_asked(
    framework: Framework, tmp_path: Path, endpoint: Endpoint, record: bool
) -> None:
    folder = write(tmp_path, framework, OWN[framework])
    (folder / RECORDED_FILE).write_text('{"models": {}, "tries": {}}')
    with pytest.raises(CallerError) as caught:
        await evaluated(folder, record=record)
    said = str(caught.value)
    assert f"with-team/process.yaml: step desk.ask: agent clerk: team.py:{OWN[framework]} ({framework}) asks" in said
    assert "so that its alias answers, or give its work to an agent of the process file" in said
    assert endpoint.connections == 0
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", STARTING)
async def test_so_is_a_process_that_starts_one(
    framework: Framework, tmp_path: Path, endpoint: Endpoint, name: str
) -> None:
    write(tmp_path, framework, OWN[framework])
    folder = tmp_path / name
    folder.mkdir()
    (folder / "process.yaml").write_text(f"process: {name}\n{STARTING[name]}")
    (folder / "evals.yaml").write_text(EVALS)
    with pytest.raises(CallerError, match=r"with-team/process.yaml: step desk.ask: agent clerk: "):
        await evaluated(folder, record=True)
    assert endpoint.connections == 0


@pytest.mark.parametrize("framework", ["openai_agents"], indirect=True)
async def test_so_is_one_that_hands_over_to_others(framework: Framework, tmp_path: Path, endpoint: Endpoint) -> None:
    folder = write(tmp_path, framework, "handing", own_tools="true")
    with pytest.raises(CallerError, match="leave `handoffs` out of it, so that its alias answers"):
        await evaluated(folder, record=True)
    assert endpoint.connections == 0


async def test_one_that_is_come_to_by_another_way_does_not_work(
    framework: Framework, tmp_path: Path, endpoint: Endpoint
) -> None:
    folder = write(tmp_path, framework, OWN[framework])
    models = Models({"default": ModelAlias(base_url=endpoint.url)}, lambda: Replayer((), str))
    async with open_trial(folder, tmp_path / "home", None, None, models) as trial:
        run = await trial.start({})
        view = await run.parks("desk.ask")
    assert "asks models of its own, whose answers are neither recorded nor" in view.incidents[0].error.message
    assert endpoint.connections == 0
