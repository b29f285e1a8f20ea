"""All cases of a process, each tried as often as its file says, and compared with what was accepted."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from contracts.errors import CallerError, RecordingMissing
from contracts.evals import (
    BASELINE_FILE,
    EVALS_FILE,
    RECORDED_FILE,
    Baseline,
    Case,
    CaseReport,
    Counted,
    EvalReport,
    Evals,
    RecordedReply,
    Recording,
    Tried,
)
from contracts.run import Definition
from contracts.settings import DEFAULT_MODEL, OPENAI_URL, ModelAlias, ModelApi, answers_by_script, without_credentials
from evals.baseline import regressions
from evals.foreign import refuse_models_of_their_own
from evals.recording import Recorder, Replayer
from evals.statistics import score
from evals.trying import attempt
from language.evals import load_evals
from runtime.catalog import Catalog, shown
from runtime.settings import Settings
from testkit.opening import Models


async def evaluate(
    definition: Definition, folder: Path, settings: Settings, runs: int | None, *, record: bool
) -> EvalReport:
    """`record`: ask the models of the settings and keep what they answer; else replay what was kept, and ask nobody.

    Raises:
        DefinitionInvalid: `evals.yaml` has mistakes.
        RecordingMissing: something was asked whose answer was never recorded.
        CallerError: there are no cases, no model to record, too few runs for k, a file that cannot be read, or an agent
            of another framework that asks a model of its own.
    """
    evals = _read_evals(definition, folder)
    refuse_models_of_their_own(definition.process.process, Catalog.load([folder.parent]))
    runs = runs or evals.runs
    if runs < evals.k:
        raise CallerError(f"--runs {runs}: pass^{evals.k} needs {evals.k} runs at least; lower `k` in {EVALS_FILE}")
    file = folder / RECORDED_FILE
    if record:
        recording = await _record(evals, folder, _models_of(settings), runs)
        cases = recording[1]
        file.write_text(recording[0].model_dump_json(indent=1, exclude_defaults=True) + "\n")
    else:
        cases = await _replay(evals, folder, _read_recording(file), runs)
    counts = {name: Counted(tries=len(tries), passed=sum(t.passed for t in tries)) for name, tries in cases.items()}
    every = [each for tries in cases.values() for each in tries]
    now = Baseline(
        recorded=hashlib.sha256(file.read_bytes()).hexdigest(),
        cases=counts,
        cost=round(sum(each.cost for each in every) / len(every), 6),
        seconds=round(sum(each.seconds for each in every) / len(every), 3),
    )
    accepted = _read_baseline(folder / BASELINE_FILE)
    return EvalReport(
        process=definition.process.process,
        k=evals.k,
        replayed=not record,
        cases=tuple(
            CaseReport(case=name, tries=tries, score=score([counts[name]], evals.k)) for name, tries in cases.items()
        ),
        score=score(list(counts.values()), evals.k),
        now=now,
        accepted=accepted,
        regressions=tuple(regressions(accepted, now)) if accepted else (),
    )


async def _record(
    evals: Evals, folder: Path, models: Mapping[str, ModelAlias], runs: int
) -> tuple[Recording, dict[str, tuple[Tried, ...]]]:
    replies: dict[str, tuple[tuple[RecordedReply, ...], ...]] = {}
    tried: dict[str, tuple[Tried, ...]] = {}
    for case in evals.cases:
        for _ in range(runs):
            recorder = Recorder()
            one = await _try(evals, case, folder, models, recorder)
            tried[case.name] = (*tried.get(case.name, ()), one)
            replies[case.name] = (*replies.get(case.name, ()), tuple(recorder.replies))
    return Recording(models=dict(models), tries=replies), tried


async def _replay(evals: Evals, folder: Path, recording: Recording, runs: int) -> dict[str, tuple[Tried, ...]]:
    tried: dict[str, tuple[Tried, ...]] = {}
    with _some_key(recording.models):
        for case in evals.cases:
            for index in range(runs):
                replies = recording.tries.get(case.name, ())[index : index + 1]
                replayer = Replayer(replies[0] if replies else ())
                one = await _try(evals, case, folder, recording.models, replayer)
                if replayer.missing:
                    raise RecordingMissing(_missing(folder, case, index, replayer.missing[0], recorded=bool(replies)))
                tried[case.name] = (*tried.get(case.name, ()), one)
    return tried


async def _try(
    evals: Evals, case: Case, folder: Path, models: Mapping[str, ModelAlias], carrier: Recorder | Replayer
) -> Tried:
    with TemporaryDirectory(prefix="surefoot-eval-") as home, _environment(SUREFOOT_PACE="0"):
        chosen = Models(dict(models), lambda: carrier)
        return await attempt(case, evals.fakes, folder, Path(home), chosen, carrier)


def _missing(folder: Path, case: Case, index: int, asked: str, *, recorded: bool) -> str:
    why = "its instructions, tools, model or what it was told are others than when the answers were recorded"
    reason = f"an agent asked what nobody recorded (request {asked[:12]}): {why}" if recorded else "never recorded"
    return (
        f"{shown(folder / RECORDED_FILE)}: case {case.name}, try {index + 1}: {reason}. "
        f"Record anew with a model set up: `starter.py eval {folder.name} --record`"
    )


def _models_of(settings: Settings) -> dict[str, ModelAlias]:
    """The models of the settings, with all that the environment adds, so that a replay needs neither.

    Raises:
        CallerError: there are none.
    """
    aliases = {"default": ModelAlias(), **settings.models}
    if all(answers_by_script(each, os.environ) for each in aliases.values()):
        raise CallerError("no model is set up to record: set OPENAI_API_KEY or OPENAI_BASE_URL, or write [models]")
    return {name: _filled_in(alias, settings.model_api) for name, alias in aliases.items()}


def _filled_in(alias: ModelAlias, api: ModelApi | None) -> ModelAlias:
    url = alias.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
    return alias.model_copy(
        update={
            "model": alias.model or os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL,
            "base_url": without_credentials(url),
            "api": alias.api or api or ("responses" if url == OPENAI_URL else "chat"),
        }
    )


@contextmanager
def _some_key(models: Mapping[str, ModelAlias]) -> Iterator[None]:
    """A key is looked for before anything is asked, and a replay needs none."""
    with _environment(**{alias.key_env: "replayed" for alias in models.values()}):
        yield


@contextmanager
def _environment(**more: str) -> Iterator[None]:
    """Variables that are set for the length of a block, where they are not set already."""
    added = {name: value for name, value in more.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _read_evals(definition: Definition, folder: Path) -> Evals:
    file = folder / EVALS_FILE
    if not file.is_file():
        raise CallerError(f"{shown(file)}: there is no such file; write the cases of {folder.name} into it")
    process = definition.process
    return load_evals(file.read_bytes(), shown(file), steps=process.steps, tools=definition.tools, schema=process.input)


def _read_recording(file: Path) -> Recording:
    if not file.is_file():
        raise RecordingMissing(
            f"{shown(file)}: there is no such file; record answers with a model set up: "
            f"`starter.py eval {file.parent.name} --record`"
        )
    try:
        return Recording.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise CallerError(f"{shown(file)} is no recording ({error.errors()[0]['msg']}); record anew") from error


def _read_baseline(file: Path) -> Baseline | None:
    if not file.is_file():
        return None
    try:
        return Baseline.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise CallerError(f"{shown(file)} is no baseline ({error.errors()[0]['msg']}); accept anew") from error
