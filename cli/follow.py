"""Following a run: redrawn in a terminal, a line per change everywhere else."""

from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from temporalio.client import Client

from cli.approvals import approval
from cli.live import AgentLines
from cli.marks import ASCII, UNICODE, Marks
from cli.output import Output
from cli.panels import attention, ending, header, run_screen
from cli.tree import one_line, plan_tree
from contracts.base import Json
from contracts.live import LiveEvent
from contracts.run import RunView, StepView
from runtime.live import Follower
from runtime.watch import Attempt, Observation, Watch

REDRAWS_A_SECOND = 5
MIN_TREE_ROWS = 5
NAME_WIDTH = 18

Stop = Callable[[Observation], bool]


def marks_of(output: Output) -> Marks:
    return UNICODE if output.unicode else ASCII


class Screen(Protocol):
    """Shows a run as it changes, from entering to leaving; what it has told it does not tell again."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def update(self, seen: Observation) -> None: ...

    def hear(self, event: LiveEvent) -> None: ...


def screen_for(output: Output) -> Screen:
    """Redrawn in a terminal, where leaving wipes it so that the end can be printed; lines everywhere else."""
    return _Redrawn(output) if output.live else _Lines(output)


async def follow(
    client: Client, run: str, screen: Screen, *, stop: Stop | None = None, follower: Follower | None = None
) -> Observation:
    """The run until it has ended, or until `stop` holds of it; what it was then. `follower`: tells what agents do and
    say, too.

    Raises:
        UnknownRun: there is none of this name.
    """
    with screen:
        async with aclosing(Watch(client, run).changes()) as changes:
            async for seen in changes:
                for event in await follower.events(seen) if follower else ():
                    screen.hear(event)
                screen.update(seen)
                if seen.ended or (stop is not None and stop(seen)):
                    return seen
    raise AssertionError("a run is watched until it has ended")


def print_run(seen: Observation, output: Output) -> None:
    """A run as it stands: the view with --json, else everything a person should know."""
    if seen.silent and output.as_json:
        output.say(f"only what the server knows: {seen.silent}")
    if output.as_json:
        output.document(view_json(seen.view))
        return
    screen = run_screen(seen, marks_of(output), datetime.now(UTC), width=output.out.width)
    output.out.print(screen, crop=False)


def view_json(view: RunView) -> Json:
    return view.model_dump(mode="json", by_alias=True)


class _Redrawn:
    """A live display of the whole run, as tall as the terminal at most."""

    def __init__(self, output: Output) -> None:
        self._console = output.out
        self._marks = marks_of(output)
        self._seen: Observation | None = None
        self._live: Live | None = None

    def __enter__(self) -> "_Redrawn":
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REDRAWS_A_SECOND,
            transient=True,
            vertical_overflow="crop",
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, seen: Observation) -> None:
        self._seen = seen

    def hear(self, event: LiveEvent) -> None:
        """What an agent says is in the tree."""

    def _draw(self) -> RenderableType:
        if self._seen is None:
            return Text("looking for the run", style="faint")
        seen, now, console = self._seen, datetime.now(UTC), self._console
        below: list[RenderableType] = []
        for block in attention(seen.view, self._marks, now, live=True):
            below += [Text(), block]
        if seen.ended:
            below += [Text(), ending(seen)]
        top = header(seen, self._marks, now)
        taken = len(console.render_lines(Group(top, Text(), *below), pad=False))
        rows = max(MIN_TREE_ROWS, console.height - taken - 1)
        tree = plan_tree(seen, self._marks, now, width=console.width, max_rows=rows)
        return Group(top, Text(), tree, *below)


class _Lines:
    """One line for each change; an approval or incident with the commands that settle it. Silent with --json, but
    for what waits for somebody."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._marks = marks_of(output)
        self._steps: dict[str, StepView] = {}
        self._attempts: dict[str, int] = {}
        self._agents = AgentLines()
        self._told: set[str] = set()
        self._silent: str | None = None

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, seen: Observation) -> None:
        if seen.silent != self._silent and seen.silent and not seen.ended:
            self._output.say(f"only what the server knows: {seen.silent}")
        self._silent = seen.silent
        if not self._output.as_json:
            for line in self._changes(seen):
                self._output.out.print(line, soft_wrap=True)
        for key, block in self._open(seen):
            if key not in self._told:
                console = self._output.err if self._output.as_json else self._output.out
                console.print(block, crop=False)
                self._told.add(key)

    def hear(self, event: LiveEvent) -> None:
        if not self._output.as_json:
            for line in self._agents.lines(event):
                self._output.out.print(line, soft_wrap=True)

    def _changes(self, seen: Observation) -> Iterator[Text]:
        for step in seen.view.steps:
            known = self._steps.get(step.id)
            if (known.status if known else "pending") != step.status:
                yield self._line(step)
            self._steps[step.id] = step
        for step_id, attempt in seen.attempts.items():
            if attempt.failure and self._attempts.get(step_id) != attempt.number:
                yield self._retry(step_id, attempt)
                self._attempts[step_id] = attempt.number

    def _line(self, step: StepView) -> Text:
        what = step.error.message if step.error and step.status in ("failed", "attention") else step.title
        return Text.assemble(
            (f"{datetime.now():%H:%M:%S}  ", "faint"),  # noqa: DTZ005
            (f"{self._marks.icon(step.status)} {step.status:<9}", step.status),
            f"  {step.id:<{NAME_WIDTH}}",
            (f"  {one_line(what)}", "faint"),
        )

    def _retry(self, step_id: str, attempt: Attempt) -> Text:
        return Text(f"          {step_id}: try {attempt.number} after {one_line(attempt.failure or '')}", style="faint")

    def _open(self, seen: Observation) -> Iterator[tuple[str, RenderableType]]:
        view, now = seen.view, datetime.now(UTC)
        for waiting in view.waiting:
            if waiting.kind == "approval":
                yield f"{waiting.step} {waiting.hash} {len(waiting.votes)}", approval(view, waiting, self._marks, now)
        for incident in view.incidents:
            only = view.model_copy(update={"waiting": (), "incidents": (incident,), "refused": ()})
            key = f"{incident.step} {incident.attempts} {incident.error.message}"
            yield key, Group(*attention(only, self._marks, now))
