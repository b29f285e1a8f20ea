"""Whatever fails, whatever operators do about it and wherever a run is started again: no effect is lost, none doubled,
and what is taken back is so once, last first. Seeded: a seed that fails is named, and can be tried alone."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from contracts.names import MIGRATE
from contracts.run import ENDED, RunView
from contracts.settings import ModelAlias
from tests.endpoint import Answered, Asked, Endpoint, completion, open_endpoint
from tests.workflows.office import UNDO, Office, Run, open_office

PROCESS = f"""
    process: again
    steps:
      a: {{tool: do.work, {UNDO}}}
      b: {{tool: do.work, needs: [a]}}
      g: {{needs: [a], steps: {{x: {{tool: do.work, {UNDO}}}, y: {{tool: do.work, needs: [x], {UNDO}}}}}}}
      each: {{tool: do.work, for_each: [1, 2], needs: [g], {UNDO}}}
      r: {{tool: do.work, needs: [b], repeat: {{until: "${{ output.id == 'r#2' }}"}}, {UNDO}}}
      h:
        needs: [a]
        undo: {{tool: do.undo, with: {{of: h}}}}
        steps:
          r: {{tool: do.work, repeat: {{until: "${{ output.id == 'h.r#3' }}"}}}}
          z: {{tool: do.work, needs: [r]}}
      w:
        needs: [a]
        repeat: {{until: "${{ output.p.id == 'w#2.p' }}"}}
        steps: {{p: {{tool: do.work, {UNDO}}}, q: {{tool: do.work, needs: [p]}}}}
      sub: {{process: child, needs: [a]}}
      many: {{process: ship, for_each: [1, 2], needs: [b]}}
      plan: {{goal: Get there., tools: [do.work, do.undo], needs: [h]}}
      last: {{tool: do.work, needs: [each, r, w, sub, many, plan], {UNDO}}}
    output: {{each: "${{ steps.each.output }}", r: "${{ steps.r.output }}", sub: "${{ steps.sub.output }}"}}
"""
CHILD = f"""
    process: child
    steps:
      sx: {{tool: do.work, on_failure: fail, {UNDO}}}
      sy: {{tool: do.work, needs: [sx], on_failure: fail, {UNDO}}}
    output: ${{ steps.sy.output }}
"""
SHIP = f"""
    process: ship
    steps:
      px: {{tool: do.work, on_failure: fail, {UNDO}}}
      py: {{tool: do.work, needs: [px], on_failure: fail}}
"""
OUTPUT = {"each": ["each[0]", "each[1]"], "r": "r#2", "sub": "sy"}
"""What a run comes to in which nothing is skipped or done by hand: ids of steps."""
EARLIER = {
    "g": "a",
    "each": "g a",
    "r": "b a",
    "h": "a",
    "w": "a",
    "sub": "a",
    "many": "b a",
    "plan": "h a",
    "last": "each g r w sub many plan h a",
}
"""What is taken back after a step, each with all that is inside it."""
CALLS = (
    "a",
    "b",
    "g.x",
    "g.y",
    "each[0]",
    "each[1]",
    "r#1",
    "r#2",
    "h.r#1",
    "h.r#2",
    "h.r#3",
    "h.z",
    "w#1.p",
    "w#1.q",
    "w#2.p",
    "w#2.q",
    "sub/sx",
    "sub/sy",
    "many[0]/px",
    "many[0]/py",
    "many[1]/px",
    "many[1]/py",
    "last",
)
UNDONE = ("a", "g.x", "each[1]", "r#1", "h", "w#1.p", "many[0]")
BREAKABLE = (
    *(call for call in CALLS if "/" not in call),
    *("sx", "sy", "px", "py", "plan.n1", "plan.m1", "plan.n2"),
    *(f"undo {step}" for step in UNDONE),
)
HOLDERS = frozenset({"g", "each", "r", "h", "h.r", "w", "w#1", "w#2", "many"})
BY_HAND = {"id": "by hand"}
REPAIRS = ("retry", "retry", "amend", "amend", "skip", "complete", "fallback", "replan")
ENDS = ("abort", "abort without undo", "cancel", "cancel without undo", "terminate")
ENOUGH = 60
"""Incidents of one run."""
LAST = 4
"""Runs of a chain; the last one meets nothing that is broken."""


@dataclass
class Chain:
    """A run and its reruns. `redone`: how often each step was ordered once more, though its effect stood. `amended`:
    steps that have other arguments, since so many lines of the ledger. `taken_back`: by each run, in order.
    `is_as_written`: nothing was left out or done by hand."""

    office: Office
    random: Random
    redone: Counter[str] = field(default_factory=Counter)
    amended: dict[str, int] = field(default_factory=dict)
    taken_back: list[list[str]] = field(default_factory=list)
    is_as_written: bool = True

    async def play(self) -> RunView:
        number = 1
        self.office.broken = self.some()
        run = await self.office.start(PROCESS)
        while (view := await self.ended(run, is_last=number == LAST)).status != "completed":
            assert number < LAST, view.error
            number += 1
            self.office.broken = self.some() if number < LAST else set()
            run = await self.started_again(run, view, number)
        return view

    def some(self) -> set[str]:
        return {step for step in BREAKABLE if self.random.random() < 0.2}

    async def ended(self, run: Run, *, is_last: bool) -> RunView:
        bound = ENOUGH if is_last else self.random.randrange(8)
        began, acts = len(self.office.ledger), 0
        while (view := await rested(run)).status not in ENDED and await self.acts(
            run, view, repairs=acts < bound, is_last=is_last
        ):
            acts += 1
            await self.disturb(run)
            assert acts < ENOUGH, f"{run.id} is {view.status}: {[(each.step, each.error) for each in view.incidents]}"
        self.taken_back.append([step for effect, step, _ in self.office.ledger[began:] if effect == "undo"])
        return view

    async def disturb(self, run: Run) -> None:
        """Have it continue as new, or pause for a moment, where that holds now."""
        with suppress(WorkflowUpdateFailedError, RPCError):
            match self.random.choice(("continue", "pause", *[None] * 6)):
                case "continue":
                    await run.handle.execute_update(MIGRATE, {"by": "user:op"})
                case "pause":
                    await run.repair("", "pause")
                    await run.repair("", "resume")

    async def acts(self, run: Run, view: RunView, *, repairs: bool, is_last: bool) -> bool:
        """Do something about an incident; whether the run goes on."""
        incident = self.random.choice(view.incidents)
        if incident.of == "undo":
            self.office.broken.clear()
            await run.repair(incident.step, self.random.choice(("retry", "retry", "skip")))
        elif is_last:
            await run.repair(incident.step, "retry")
        elif repairs:
            await self.repair(run, incident.step, [step.id for step in view.steps])
        else:
            return await self.goes_on(run, view, incident.step)
        return True

    async def repair(self, run: Run, step: str, steps: list[str]) -> None:
        """Do something about an incident, whether or not it holds; or about a step that is still to start."""
        action = self.random.choice(REPAIRS)
        if action in ("skip", "complete") and "#" in step:
            return  # Its condition would never hold.
        if self.random.random() < 0.5:
            self.office.broken.discard(step)
        if action == "amend" and self.random.random() < 0.5:
            step = self.random.choice(steps)
        value = {"amend": {"what": "amended"}, "complete": BY_HAND, "fallback": self.random.choice(steps)}.get(action)
        lines = len(self.office.ledger)
        try:
            await run.repair(step, action, value=value)
        except WorkflowUpdateFailedError:
            return
        self.is_as_written &= action in ("retry", "amend", "replan")
        if action == "amend":
            self.amended.setdefault(step, lines)

    async def goes_on(self, run: Run, view: RunView, step: str) -> bool:
        """Stop it; whether it still has to take something back."""
        end = self.random.choice(ENDS)
        undo = not end.endswith("without undo")
        is_at_work = any(each.status == "running" and each.id not in HOLDERS for each in view.steps)
        if end == "terminate" and not is_at_work:  # Whose effect may come later than the next run looks.
            await run.handle.terminate()
            return False
        if end.startswith("abort"):
            await run.repair(step, "abort", value={"undo": undo})
        else:
            await run.cancel(undo=undo)
        return True

    async def started_again(self, run: Run, view: RunView, number: int) -> Run:
        """The run that goes on with one that ended. It is refused where effects that stand would be made once more, and
        may be ordered so."""
        from_ = self.random.choice([None, None, *(step.id for step in view.steps if step.status != "pending")])
        before = list(self.office.ledger)
        rerun = await run.again(number=number, from_=from_)
        if (said := await refusal(rerun)) is not None:
            assert "would be done once more" in said
            assert self.office.ledger == before
            self.redone.update(named(said))
            rerun = await run.again(number=number, from_=from_, redo=True)
        return rerun


def named(refused: str) -> list[str]:
    """The steps whose effects would be made once more; `*` when there are too many to name."""
    names, _, more = refused.removeprefix("Refused: ").partition(": what was done")[0].partition(" and ")
    return [name.partition(" (")[0] for name in names.split(", ")] + ["*"] * bool(more)


async def rested(run: Run) -> RunView:
    """The run once it waits for an operator, or has ended."""
    view = await run.until(lambda view: bool(view.incidents) or view.status in ENDED)
    if view.status in ENDED:
        with suppress(WorkflowFailureError):
            await run.handle.result()
    return view


async def refusal(rerun: Run) -> str | None:
    begun, ended = asyncio.create_task(rerun.until(lambda view: True)), asyncio.create_task(rerun.handle.result())
    await asyncio.wait({begun, ended}, return_when=asyncio.FIRST_COMPLETED)
    try:
        cause = ended.exception().cause if ended.done() and ended.exception() is not None else None  # type: ignore[union-attr]  # it has one
        return str(cause) if isinstance(cause, ApplicationError) and cause.type == "Refused" else None
    finally:
        begun.cancel()
        ended.cancel()
        await asyncio.gather(begun, ended, return_exceptions=True)


@dataclass
class Judge:
    """Reads a ledger line by line. `made`: steps, by what their effects are known by, those of a sub-process as
    `sub/sx`; `gone`: what was taken back; `back`: how often, by step."""

    chain: Chain
    made: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    back: Counter[str] = field(default_factory=Counter)

    def wrong(self, view: RunView) -> Iterator[str]:
        """What is not as it should be after the last run of a chain, which completed."""
        office = self.chain.office
        for line, ((effect, _, what), key) in enumerate(zip(office.ledger, office.keys, strict=True)):
            yield from self.done(line, what, key) if effect == "do" else self.undone(what, key)
        stands = Counter(step for known_by, step in self.made.items() if known_by not in self.gone)
        yield from (f"{step} is lost" for step in expected(self.chain, view) if not stands[step])
        for step, times in stands.items():
            if times > 1 + self.redone(step):
                yield f"{step} stands {times} times"
        for undone in self.chain.taken_back:
            for first, then in combinations([re.split(r"[.[#]", step)[0] for step in undone], 2):
                if first in EARLIER.get(then, "").split():
                    yield f"{first} was taken back before {then}"
        if self.chain.is_as_written and (output := ids(view.output)) != OUTPUT:
            yield f"the output is {output}"

    def redone(self, step: str) -> int:
        """How often it was ordered once more, itself or with what holds it."""
        held_by = (name for name in self.chain.redone if re.match(re.escape(name) + r"(?![\w])", step) or name == "*")
        return sum(self.chain.redone[name] for name in held_by)

    def done(self, line: int, what: str, key: str) -> Iterator[str]:
        known_by = re.sub(r"~\d+$", "", key)
        if known_by in self.made:
            yield f"{key} was done twice"
        step = self.made[known_by] = step_of(known_by)
        times = int(found[1]) if (found := re.search(r"\^(\d+)$", known_by)) else 0
        before = self.back[step] + self.back[step.rpartition(".")[0]]
        if times != before and not self.redone(step) and "/" not in step:
            yield f"{key} was done after it had been taken back {before} times"
        if line >= self.chain.amended.get(step, line + 1) and what != "amended":
            yield f"{key} was done with {what!r}, and had been amended"

    def undone(self, what: str, key: str) -> Iterator[str]:
        of = key.removesuffix("/undo")
        step = step_of(of)
        inside = [each for each in self.made.keys() - self.gone if step == "h" and self.made[each].startswith("h.")]
        if of in self.gone or (of not in self.made and not inside and what != BY_HAND["id"]):
            yield f"{of} was taken back, and was not there"
        self.back[step] += 1
        self.gone.update(inside or [of])


def step_of(known_by: str) -> str:
    return re.sub(r"[~^]\d+", "", known_by.partition("/")[2])


def expected(chain: Chain, view: RunView) -> set[str]:
    """Steps that must have an effect that stands."""
    done = {step.id: step.kind for step in view.steps if step.status == "completed" and step.output != BY_HAND}
    calls = {step for step, kind in done.items() if kind == "tool" and step not in HOLDERS}
    calls |= {call for call in CALLS if call.partition("/")[0] in done and "/" in call}
    return calls | (set(CALLS) if chain.is_as_written else set())


def ids(value: object) -> object:
    if isinstance(value, dict):
        return value["id"] if "id" in value else {name: ids(each) for name, each in value.items()}
    return [ids(each) for each in value] if isinstance(value, list) else value


def plans(endpoint: Endpoint) -> None:
    """Have the planner give another plan of two steps each time."""

    def plan(asked: Asked) -> Answered:
        number = len(endpoint.requests)
        first = {"tool": "do.work", "undo": {"tool": "do.undo", "with": {"of": "${ output.id }"}}}
        steps = {f"n{number}": first, f"m{number}": {**first, "needs": [f"n{number}"]}}
        return Answered(body=json.dumps(completion(asked, json.dumps({"steps": steps}))))

    endpoint.default = plan


async def problems(client: Client, home: Path, seed: int) -> list[str]:
    with open_endpoint() as endpoint:
        plans(endpoint)
        models = {"default": ModelAlias(model="test-model", base_url=endpoint.url)}
        async with open_office(client, home=home, models=models) as office:
            office.children.update({"child": office.definition(CHILD), "ship": office.definition(SHIP)})
            chain = Chain(office, Random(seed))  # noqa: S311 -- nothing secret comes of it
            try:
                return [f"seed {seed}: {said}" for said in Judge(chain).wrong(await chain.play())]
            except (AssertionError, TimeoutError, WorkflowFailureError) as error:
                return [f"seed {seed}: {type(error).__name__} {error}"]


@pytest.mark.parametrize(
    ("first", "count"), [(0, 2), pytest.param(130, 14, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
async def test_no_effect_is_lost_or_doubled_however_often_a_run_is_started_again(
    client: Client, tmp_path_factory: pytest.TempPathFactory, first: int, count: int
) -> None:
    at_once = asyncio.Semaphore(3)

    async def tried(seed: int) -> list[str]:
        async with at_once:
            return await problems(client, tmp_path_factory.mktemp("home"), seed)

    found = await asyncio.gather(*map(tried, range(first, first + count)))
    assert "\n".join(line for lines in found for line in lines) == ""
