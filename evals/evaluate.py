"""All cases of a process, each tried as often as its file says, and compared with what was accepted."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import product
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
from evals.recording import Carrier, Recorder, Replayer
from evals.statistics import score
from evals.trying import attempt
from evals.unfinished import Unfinished
from language.evals import load_evals
from runtime.catalog import Catalog, shown
from runtime.settings import Settings
from testkit.opening import Models

Tell = Callable[[int, int, str], None]
"""Told how far an evaluation is: tries that are done, of how many, and what is being done now."""


def _nobody(done: int, total: int, now: str) -> None:
    """Is told."""


async def evaluate(
    definition: Definition, folder: Path, settings: Settings, runs: int | None, *, record: bool, tell: Tell = _nobody
) -> EvalReport:
    """`record`: ask the models of the settings and keep what they answer; else replay what was kept, and ask nobody.

    Raises:
        DefinitionInvalid: `evals.yaml` has mistakes.
        RecordingMissing: something was asked whose answer was never recorded.
        CallerError: there are no cases, no model to record, none that answers, too few runs for k, a file that cannot
            be read, or an agent of another framework that asks a model of its own.
    """
    evals = _read_evals(definition, folder)
    refuse_models_of_their_own(definition.process.process, Catalog.load([folder.parent]))
    runs = runs or evals.runs
    if runs < evals.k:
        raise CallerError(f"--runs {runs}: pass^{evals.k} needs {evals.k} runs at least; lower `k` in {EVALS_FILE}")
    file = folder / RECORDED_FILE
    if record:
        models = _models_of(settings)
        unfinished = Unfinished(settings.home / "evals" / f"{definition.process.process}.json", models)
        recording, cases = await _record(evals, folder, models, runs, unfinished, tell)
        file.write_text(recording.model_dump_json(indent=1, exclude_defaults=True) + "\n")
        unfinished.forget()
    else:
        cases = await _replay(evals, folder, _read_recording(file), runs, tell)
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
    evals: Evals, folder: Path, models: Mapping[str, ModelAlias], runs: int, unfinished: Unfinished, tell: Tell
) -> tuple[Recording, dict[str, tuple[Tried, ...]]]:
    replies: dict[str, tuple[tuple[RecordedReply, ...], ...]] = {}
    tried: dict[str, tuple[Tried, ...]] = {}
    for case, index, say in _tries(evals, folder, runs, tell):
        recorder = Recorder(unfinished.of(case.name, index), say)
        try:
            one = await _try(evals, case, index, folder, models, recorder)
        except CallerError as error:
            untouched = f"Nothing was written to {shown(folder / RECORDED_FILE)}"
            raise CallerError(f"{error}. {untouched}.{unfinished}") from error
        unfinished.keep(case.name, index, recorder.replies)
        tried[case.name] = (*tried.get(case.name, ()), one)
        replies[case.name] = (*replies.get(case.name, ()), tuple(recorder.replies))
    return Recording(models=dict(models), tries=replies), tried


async def _replay(
    evals: Evals, folder: Path, recording: Recording, runs: int, tell: Tell
) -> dict[str, tuple[Tried, ...]]:
    tried: dict[str, tuple[Tried, ...]] = {}
    with _some_key(recording.models):
        for case, index, _ in _tries(evals, folder, runs, tell):
            replies = recording.tries.get(case.name, ())[index : index + 1]
            missing = partial(_missing, folder, case, index, recorded=bool(replies))
            replayer = Replayer(replies[0] if replies else (), missing)
            one = await _try(evals, case, index, folder, recording.models, replayer)
            tried[case.name] = (*tried.get(case.name, ()), one)
    return tried


def _tries(evals: Evals, folder: Path, runs: int, tell: Tell) -> Iterator[tuple[Case, int, Callable[[str], None]]]:
    """Each case and the index of each try of it, told when its turn comes, and what tells more of it."""
    total = len(evals.cases) * runs
    for done, (case, index) in enumerate(product(evals.cases, range(runs))):
        now = f"{_place(folder, case, index)} of {runs}"

        def say(what: str, done: int = done, now: str = now) -> None:
            tell(done, total, f"{now}: {what}")

        tell(done, total, now)
        yield case, index, say


async def _try(
    evals: Evals, case: Case, index: int, folder: Path, models: Mapping[str, ModelAlias], carrier: Carrier
) -> Tried:
    with TemporaryDirectory(prefix="surefoot-eval-") as home, _environment(SUREFOOT_PACE="0"):
        chosen = Models(dict(models), lambda: carrier, carrier.heard)
        try:
            return await attempt(case, evals.fakes, folder, Path(home), chosen, carrier)
        except CallerError as error:
            raise CallerError(f"{_place(folder, case, index)}: {error}") from error


def _place(folder: Path, case: Case, index: int) -> str:
    return f"{folder.name}: case {case.name}, try {index + 1}"


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
