"""One try of a case: a run of the real worker in a company of its own, played to its end and graded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowUpdateFailedError

from contracts.base import Json
from contracts.errors import CallerError, ExpressionFailed
from contracts.evals import Case, Said, Tried
from contracts.names import DECIDE
from contracts.run import RunView
from evals.recording import LONGEST, Carrier
from language.expressions import truth
from testkit import Called, TrialRun
from testkit.opening import Models, open_trial

UNDO = "/undo"
"""What the key of a call ends with that takes an effect back."""


async def attempt(
    case: Case, fakes: Mapping[str, Json], folder: Path, home: Path, models: Models, carrier: Carrier
) -> Tried:
    """Raises:
    CallerError: a decision of the case is refused, the run takes too long, or a model gives no answer to record.
    RecordingMissing: something was asked whose answer was never recorded.
    """
    async with open_trial(folder, home, None, None, models) as trial:
        for tools, returns in fakes.items():
            trial.fake(tools, returns)
        run = await trial.start(case.input, started_by=case.started_by)
        view = await _played(run, case, carrier)
        if carrier.given_up is not None:
            raise carrier.given_up
        seconds = sum(reply.seconds for reply in carrier.replies)
        return grade(case, view, seconds, effects=trial.effects(), calls=trial.calls())


async def _played(run: TrialRun, case: Case, carrier: Carrier) -> RunView:
    """The run at its end: ended, or stopped where the case has nobody answer, or where the try is worth nothing."""
    left = list(case.people)
    while True:
        try:
            view = await run.until(lambda seen: carrier.given_up is not None or _stands(seen, left), "its end", LONGEST)
        except AssertionError as error:
            why = "; ".join(filter(None, (str(error), carrier.trouble)))
            raise CallerError(f"{why}; a try has {LONGEST / 60:g} minutes at most") from error
        said = _next(view, left)
        if carrier.given_up is not None or view.ended is not None or said is None:
            return view
        left.remove(said)
        try:
            await run.say(DECIDE, said.model_dump(exclude_none=True))
        except WorkflowUpdateFailedError as error:
            raise CallerError(f"{said.by} at {said.step} is refused: {error.cause}") from error


def _stands(view: RunView, left: list[Said]) -> bool:
    return view.ended is not None or view.status in ("waiting", "attention") or _next(view, left) is not None


def _next(view: RunView, left: list[Said]) -> Said | None:
    asked = {wait.step for wait in view.waiting if wait.kind == "approval"}
    return next((each for each in left if each.step in asked), None)


def grade(case: Case, view: RunView, seconds: float, *, effects: list[Called], calls: list[Called]) -> Tried:
    """Whether each criterion holds of the end of a run."""
    names: dict[str, Any] = {
        "input": case.input,
        "status": view.status,
        "output": view.output,
        "error": view.error and view.error.message,
        "steps": {step.id: {"status": step.status, "output": step.output} for step in view.steps},
        "effects": _effects(effects),
        "calls": [_shown(call) for call in calls],
        "cost": view.cost.amount,
        "tokens": view.cost.tokens,
        "model_calls": view.cost.calls,
        "seconds": seconds,
    }
    failed = [why for criterion in case.expect if (why := _why_not(criterion, names)) is not None]
    return Tried(
        status=view.status, failed=tuple(failed), cost=view.cost.amount, tokens=view.cost.tokens, seconds=seconds
    )


def _effects(made: list[Called]) -> list[Json]:
    """What steps changed, and whether it was taken back; that itself is among the calls."""
    keys = {call.key for call in made}
    # An amended call has a key of its own, and is taken back as the step that it stands for.
    return [
        {**_shown(call), "undone": call.key.partition("~")[0] + UNDO in keys}
        for call in made
        if not call.key.endswith(UNDO)
    ]


def _shown(call: Called) -> dict[str, Json]:
    return {"tool": call.tool, "step": call.step, "attempt": call.attempt, "args": call.args}


def _why_not(criterion: str, names: dict[str, Any]) -> str | None:
    try:
        return None if truth(criterion, names) else criterion
    except ExpressionFailed as error:
        return f"{criterion}: {error}"
