"""What a person should know of a run besides its steps: who must decide, what needs repair, how it ended."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.agents import gauges, history_text, notes_left
from cli.approvals import approval
from cli.blocks import MAX_VALUE_LINES, commands_text, facts, value_text
from cli.helpers import helpers
from cli.incidents import incident_panel
from cli.marks import Marks, cost_text, dollars, moment, saved_text, took
from cli.output import command
from cli.tree import MAX_ROWS, one_line, plan_tree
from contracts.effects import UndoCall
from contracts.incidents import Paused
from contracts.plans import Revision
from contracts.run import RunView
from contracts.state import StateEntry
from runtime.watch import Observation

MAX_REMARKS_SHOWN = 10


def run_screen(
    seen: Observation,
    marks: Marks,
    now: datetime,
    *,
    width: int,
    max_rows: int = MAX_ROWS,
    live: bool = False,
    asks: bool = False,
) -> Group:
    """A whole run. `live`: for a display that is redrawn, where long lines are folded and rows are few. `asks`: a
    question follows, so that only what bears on it is shown."""
    parts: list[RenderableType] = [header(seen, marks, now)]
    if seen.view.steps:
        parts += [Text(), plan_tree(seen, marks, now, width=width, max_rows=max_rows)]
    told = (
        *_retrying(seen, live=live),
        *helpers(seen, marks, live=live),
        *gauges(seen),
        *notes_left(seen, live=live),
        *attention(seen.view, marks, now, live=live),
    )
    for block in told:
        parts += [Text(), block]
    if seen.ended:
        parts += [Text(), ending(seen)]
    elif not live and not asks:
        parts += [part for block in standing(seen.view) for part in (Text(), block)]
    return Group(*parts)


def standing(view: RunView) -> Iterator[RenderableType]:
    """What a run holds: its shared state, how its plans came about, what giving it up would take back."""
    if view.state:
        held = [(key, _state(entry)) for key, entry in view.state.items()]
        yield Group(Text("shared state", style="bold"), facts(held))
    for step in view.steps:
        if step.plan:
            changes = [(str(revision.number), Text(_revision(revision))) for revision in step.plan]
            yield Group(Text.assemble(("plan of ", "bold"), (step.id, "name")), facts(changes))
    undone = sorted((step for step in view.steps if step.undo), key=lambda step: step.order or 0, reverse=True)
    if undone:
        calls = [(step.id, Text("\n".join(_call(call) for call in step.undo))) for step in undone[:MAX_VALUE_LINES]]
        more = f" (the first {MAX_VALUE_LINES} of {len(undone)})" if len(undone) > MAX_VALUE_LINES else ""
        yield Group(Text(f"an abort would take back, first one first{more}", style="bold"), facts(calls))


def _state(entry: StateEntry) -> Text:
    notes = [f"version {entry.version}", *([f"by {entry.by}"] if entry.by else [])]
    notes += [f"{entry.conflicts} conflict{'s' if entry.conflicts != 1 else ''}"] if entry.conflicts else []
    return Text.assemble(value_text(entry.value), (f"  {', '.join(notes)}", "faint"))


def _revision(revision: Revision) -> str:
    signs = (("+", revision.added), ("-", revision.removed), ("~", revision.changed))
    change = " ".join(f"{sign}{name}" for sign, names in signs for name in names)
    agreed = f", approved by {revision.approved_by}" if revision.approved_by else ""
    return f"{change} by {revision.by}{agreed}: {one_line(revision.reason)}"


def _call(call: UndoCall) -> str:
    return f"{call.tool} " + ", ".join(f"{key}={value}" for key, value in call.args.items())


def header(seen: Observation, marks: Marks, now: datetime) -> Text:
    view = seen.view
    line = Text.assemble(
        (f"{marks.icon(view.status)} ", view.status), (view.run, "name"), "  ", (view.status, view.status)
    )
    line.append(f"  {took(view.started, view.ended or now)}", style="faint")
    if view.cost.calls:
        answered = ", rehearsal model" if view.cost.rehearsal else ""
        line.append(f"  {dollars(view.cost.amount)}{answered}", style="faint")
    if view.description:
        line.append(f"\n{one_line(view.description)}", style="faint")
    if view.rerun_of:
        line.append(f"\ngoes on with {view.rerun_of}", style="faint")
    if view.history and view.history.suggested:
        line.append(f"\n{history_text(view.history)}", style="faint")
    if seen.silent:
        line.append(f"\nonly what the server knows: {seen.silent}", style="attention")
    if seen.waits_for:
        line.append(f"\nwaits for {', '.join(seen.waits_for)}")
    return line


def attention(view: RunView, marks: Marks, now: datetime, *, live: bool = False) -> Iterator[RenderableType]:
    """What the run waits for, then what is broken, what people noted, what was refused."""
    if view.paused is not None:
        yield _paused(view, view.paused, marks, live=live)
    for waiting in view.waiting:
        if waiting.kind == "approval":
            yield approval(view, waiting, marks, now, live=live)
        else:
            until = f" until {moment(waiting.until)}" if waiting.until else ""
            what = f" for event {waiting.title}" if waiting.kind == "event" else ""
            yield Text(f"{marks.icon('waiting')} {waiting.step} waits{what}{until}", style="waiting")
    for incident in view.incidents:
        yield incident_panel(incident, marks, now, live=live)
    if view.remarks:
        yield _remarks(view)
    if view.refused:
        yield Text("\n".join(("signals that did not hold:", *(f"  {line}" for line in view.refused))), style="faint")


def ending(seen: Observation) -> RenderableType:
    """How the run ended: its result or why not, what it saved, what it cost."""
    view = seen.view
    rows: list[tuple[str, Text]] = []
    if view.error:
        rows.append(("error", Text(f"{view.error.type}: {view.error.message}", style="failed")))
    if view.output is not None:
        rows.append(("result", value_text(view.output)))
    if view.saved:
        rows.append(("saved", Text(saved_text(view.saved), style="completed")))
    rows.append(("cost", Text(cost_text(view.cost))))
    if view.status == "undone":
        rows.append(("undone", Text(", ".join(step.id for step in view.steps if step.status == "undone"))))
    return Group(Text(view.status, style=view.status), facts(rows))


def _retrying(seen: Observation, *, live: bool) -> Iterator[RenderableType]:
    """The whole failures of steps that are being retried; a live tree has room for their first words only."""
    for step, attempt in seen.attempts.items():
        if attempt.failure and not live:
            yield Text(f"{step} is at try {attempt.number} after: {attempt.failure}", style="faint")


def _paused(view: RunView, paused: Paused, marks: Marks, *, live: bool) -> RenderableType:
    why = f": {one_line(paused.reason)}" if paused.reason else ""
    line = f"{marks.icon('waiting')} paused by {paused.by} since {moment(paused.at)}{why}"
    return Group(Text(line, style="waiting"), commands_text([(command("resume", view.run), "")], live=live))


def _remarks(view: RunView) -> RenderableType:
    """What people noted, the last ones."""
    lines = [
        Text.assemble((f"{moment(remark.at)}  ", "faint"), (remark.by, "name"), f"{_of(remark.step)}: {remark.text}")
        for remark in view.remarks[-MAX_REMARKS_SHOWN:]
    ]
    return Group(Text("notes", style="bold"), *(Padding(line, (0, 0, 0, 2)) for line in lines))


def _of(step: str | None) -> str:
    return f" of {step}" if step else ""
