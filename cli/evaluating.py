"""`starter.py eval`: how often agents bring a process to the end that it should have."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

from cli.output import Exit, Output, command
from cli.parts import Evaluate, TellTries
from contracts.errors import CallerError
from contracts.evals import BASELINE_FILE, EVALS_FILE, CaseReport, Estimate, EvalReport, Score
from runtime.catalog import Catalog
from runtime.logging import configure_logging, log_what_the_sdk_says
from runtime.settings import Settings, load_settings

LOG = "eval.log"


async def evaluate(
    output: Output, run: Evaluate, names: Sequence[str], runs: int | None, *, record: bool, accept: bool
) -> Exit:
    settings = load_settings()
    catalog = Catalog.load(settings.folders)
    chosen = names or sorted(name for name, file in catalog.files.items() if (file.parent / EVALS_FILE).is_file())
    if not chosen:
        raise CallerError(f"no process has an {EVALS_FILE} beside it")
    definitions = [catalog.definition(name) for name in chosen]
    reports = []
    for name, definition in zip(chosen, definitions, strict=True):
        folder = catalog.files[name].parent
        with _log_beside(settings), _telling(output, lines=record) as tell:
            report = await run(definition, folder, settings, runs, record, tell)
        if accept:
            (folder / BASELINE_FILE).write_text(report.now.model_dump_json(indent=1) + "\n")
        if not output.as_json:
            _show(output, report, folder, accept=accept)
        reports.append(report)
    if output.as_json:
        output.document({"evals": [report.model_dump(mode="json") for report in reports]})
    fine = accept or all(report.accepted is not None and not report.regressions for report in reports)
    return Exit.HOLDS if fine else Exit.RUN_FAILED


@contextmanager
def _log_beside(settings: Settings) -> Iterator[None]:
    """What workers say goes to `eval.log` in the home folder."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / LOG).open("a", encoding="utf-8") as log:
        configure_logging(settings, log)
        log_what_the_sdk_says()
        yield


@contextmanager
def _telling(output: Output, *, lines: bool) -> Iterator[TellTries]:
    """How far it is: a bar where one can be seen, else `lines` of what may take long and is paid for."""
    with Progress(console=output.err, transient=True, disable=not output.live) as progress:
        bar = progress.add_task("")

        def tell(done: int, total: int, now: str) -> None:
            progress.update(bar, completed=done, total=total, description=escape(now))
            if lines and not output.live:
                output.say(now)

        yield tell


def _show(output: Output, report: EvalReport, folder: Path, *, accept: bool) -> None:
    how = "recorded answers" if report.replayed else "answers of now, recorded"
    table = Table(
        Column(f"{report.process}: {how}", no_wrap=True),
        Column("passed", justify="right"),
        Column("pass@1", no_wrap=True),
        Column(f"pass^{report.k}", no_wrap=True),
        Column("USD a try", justify="right"),
        Column("model seconds", justify="right"),
        box=None,
        header_style="faint",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for case in report.cases:
        cost, seconds = (sum(values) / len(case.tries) for values in _paid(case))
        table.add_row(*_row(case.case, case.passed, len(case.tries), case.score, cost, seconds))
    passed, tries = sum(case.passed for case in report.cases), sum(len(case.tries) for case in report.cases)
    table.add_row(*_row("all", passed, tries, report.score, report.now.cost, report.now.seconds))
    output.out.print(table)
    for case in report.cases:
        for number, each in enumerate(case.tries, start=1):
            for why in each.failed:
                said = f"  {case.case}, try {number}, {each.status}: {why}"
                output.out.print(Text(said, style="failed"), soft_wrap=True)
    output.out.print(Text(_verdict(report, folder, accept=accept)), soft_wrap=True)


def _verdict(report: EvalReport, folder: Path, *, accept: bool) -> str:
    if accept:
        return f"accepted: {folder.name}/{BASELINE_FILE}"
    if report.accepted is None:
        accepting = command("eval", report.process, "--accept")
        return f"nothing was accepted yet to compare with; accept this with `{accepting}`"
    if report.regressions:
        return "\n".join(f"WORSE: {why}" for why in report.regressions)
    before = report.accepted
    return f"no worse than accepted (USD {before.cost:.4f} and {before.seconds:.1f} model seconds a try)"


def _row(name: str, passed: int, tries: int, score: Score, cost: float, seconds: float) -> tuple[str, ...]:
    of = f"{passed}/{tries}"
    return name, of, _estimate(score.pass_1), _estimate(score.pass_k), f"{cost:.4f}", f"{seconds:.1f}"


def _estimate(found: Estimate) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _paid(case: CaseReport) -> tuple[list[float], list[float]]:
    return [each.cost for each in case.tries], [each.seconds for each in case.tries]
