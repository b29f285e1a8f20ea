"""What a person should know of a run besides its steps: who must decide, what needs repair, how it ended."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import yaml
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from cli.agents import gauges, history_text, notes_left
from cli.helpers import helpers
from cli.marks import Marks, cost_text, dollars, moment, saved_text, took
from cli.output import command
from cli.tree import MAX_ROWS, one_line, plan_tree
from contracts.base import Json
from contracts.effects import UndoCall
from contracts.incidents import Incident
from contracts.plans import Revision
from contracts.run import RunView, Waiting
from contracts.state import StateEntry
from runtime.watch import Observation

MAX_VALUE_LINES = 24
SHORT_HASH = 12

_HELP = {
    "retry": "try it again as it is",
    "amend": "try it again with other arguments",
    "skip": "go on without it",
    "complete": "it was done by hand; give its output",
    "replan": "have the goal planned anew",
    "abort": "give the run up and take its effects back (--no-undo leaves them)",
}


def run_screen(
    seen: Observation, marks: Marks, now: datetime, *, width: int, max_rows: int = MAX_ROWS, live: bool = False
) -> Group:
    """A whole run. `live`: for a display that is redrawn, where long lines are folded and rows are few."""
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
    elif not live:
        parts += [part for block in standing(seen.view) for part in (Text(), block)]
    return Group(*parts)


def standing(view: RunView) -> Iterator[RenderableType]:
    """What a run holds: its shared state, how its plans came about, what giving it up would take back."""
    if view.state:
        held = [(key, _state(entry)) for key, entry in view.state.items()]
        yield Group(Text("shared state", style="bold"), _facts(held))
    for step in view.steps:
        if step.plan:
            changes = [(str(revision.number), Text(_revision(revision))) for revision in step.plan]
            yield Group(Text.assemble(("plan of ", "bold"), (step.id, "name")), _facts(changes))
    undone = sorted((step for step in view.steps if step.undo), key=lambda step: step.order or 0, reverse=True)
    if undone:
        calls = [(step.id, Text("\n".join(_call(call) for call in step.undo))) for step in undone[:MAX_VALUE_LINES]]
        more = f" (the first {MAX_VALUE_LINES} of {len(undone)})" if len(undone) > MAX_VALUE_LINES else ""
        yield Group(Text(f"an abort would take back, first one first{more}", style="bold"), _facts(calls))


def _state(entry: StateEntry) -> Text:
    notes = [f"version {entry.version}", *([f"by {entry.by}"] if entry.by else [])]
    notes += [f"{entry.conflicts} conflict{'s' if entry.conflicts != 1 else ''}"] if entry.conflicts else []
    return Text.assemble(_value(entry.value), (f"  {', '.join(notes)}", "faint"))


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
    if view.history and view.history.suggested:
        line.append(f"\n{history_text(view.history)}", style="faint")
    if seen.silent:
        line.append(f"\nonly what the server knows: {seen.silent}", style="attention")
    if seen.waits_for:
        line.append(f"\nwaits for {', '.join(seen.waits_for)}")
    return line


def attention(view: RunView, marks: Marks, now: datetime, *, live: bool = False) -> Iterator[RenderableType]:
    """What the run waits for, then what is broken, then what was refused."""
    for waiting in view.waiting:
        if waiting.kind == "approval":
            yield approval(view, waiting, marks, now, live=live)
        else:
            until = f" until {moment(waiting.until)}" if waiting.until else ""
            what = f" for event {waiting.title}" if waiting.kind == "event" else ""
            yield Text(f"{marks.icon('waiting')} {waiting.step} waits{what}{until}", style="waiting")
    for incident in view.incidents:
        yield _incident(view, incident, marks, now, live=live)
    if view.refused:
        yield Text("\n".join(("signals that did not hold:", *(f"  {line}" for line in view.refused))), style="faint")


def approval(
    view: RunView, waiting: Waiting, marks: Marks, now: datetime, *, live: bool = False, commands: bool = True
) -> RenderableType:
    """The question, what it is about, who must decide, and the commands that do."""
    facts: list[tuple[str, Text]] = [(key, _value(value)) for key, value in waiting.show.items()]
    more = f"; {waiting.needed} more needed" if waiting.needed > 1 or waiting.votes else ""
    facts.append(("asked", Text(", ".join(waiting.who) + more, style="name")))
    if waiting.votes:
        facts.append(("votes", Text("\n".join(_vote(vote.decision, vote.by, vote.comment) for vote in waiting.votes))))
    facts.append(("since", Text(f"{took(waiting.since, now)} ago" + _expiry(waiting))))
    if waiting.hash:
        facts.append(("hash", Text(waiting.hash[:SHORT_HASH], style="faint")))
    title = Text.assemble(
        (f"{marks.icon('waiting')} ", "waiting"), (waiting.title, "bold"), (f"  {waiting.step}", "faint")
    )
    if not commands:
        return Group(title, _facts(facts))
    return Group(title, _facts(facts), _commands([(line, "") for line in deciding(view.run, waiting)], live=live))


def first_asked(waiting: Waiting) -> str:
    """Somebody whose decision would count now."""
    return next(iter(waiting.people), "user:NAME")


def deciding(run: str, waiting: Waiting) -> tuple[str, str]:
    """The commands that approve and reject."""
    words = (run, waiting.step, "--by", first_asked(waiting))
    return command("approve", *words), command("reject", *words, "--comment", "WHY")


def ending(seen: Observation) -> RenderableType:
    """How the run ended: its result or why not, what it saved, what it cost."""
    view = seen.view
    facts: list[tuple[str, Text]] = []
    if view.error:
        facts.append(("error", Text(f"{view.error.type}: {view.error.message}", style="failed")))
    if view.output is not None:
        facts.append(("result", _value(view.output)))
    if view.saved:
        facts.append(("saved", Text(saved_text(view.saved), style="completed")))
    facts.append(("cost", Text(cost_text(view.cost))))
    if view.status == "undone":
        facts.append(("undone", Text(", ".join(step.id for step in view.steps if step.status == "undone"))))
    return Group(Text(view.status, style=view.status), _facts(facts))


def _incident(view: RunView, incident: Incident, marks: Marks, now: datetime, *, live: bool) -> RenderableType:
    tried = (
        f"tried {incident.attempts} time{'s' if incident.attempts != 1 else ''}" if incident.attempts else "not tried"
    )
    facts: list[tuple[str, Text]] = [
        ("error", Text(f"{incident.error.type}: {incident.error.message}", style="failed")),
        ("since", Text(f"{took(incident.since, now)} ago, {tried}")),
    ]
    if incident.input is not None:
        facts.append(("with", _value(incident.input)))
    if incident.blocks:
        facts.append(("blocks", Text(", ".join(incident.blocks))))
    if incident.done:
        facts.append(("kept", Text(f"{', '.join(incident.done)}; not done again")))
    extra = {"amend": ("--value", "JSON"), "complete": ("--value", "JSON")}
    commands = [
        (command("repair", view.run, incident.step, action, *extra.get(action, ())), _HELP.get(action, ""))
        for action in incident.actions
    ]
    title = Text.assemble(
        (f"{marks.icon('attention')} ", "attention"),
        (f"{incident.step} needs an operator", "bold"),
        (f"  {one_line(incident.title)}", "faint"),
    )
    return Group(title, _facts(facts), _commands(commands, live=live))


def _retrying(seen: Observation, *, live: bool) -> Iterator[RenderableType]:
    """The whole failures of steps that are being retried; a live tree has room for their first words only."""
    for step, attempt in seen.attempts.items():
        if attempt.failure and not live:
            yield Text(f"{step} is at try {attempt.number} after: {attempt.failure}", style="faint")


def _facts(facts: Iterable[tuple[str, Text]]) -> Padding:
    table = Table.grid(Column(no_wrap=True, style="faint"), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for name, value in facts:
        table.add_row(name, value)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _commands(commands: Iterable[tuple[str, str]], *, live: bool) -> Text:
    """A printed command stays one line, however narrow the terminal, so that it can be copied."""
    text = Text(no_wrap=not live, overflow="fold" if live else "ignore")
    for line, explanation in commands:
        text.append(f"  {line}\n", style="command")
        if explanation:
            text.append(f"      {explanation}\n", style="faint")
    text.rstrip()
    return text


def _value(value: Json) -> Text:
    """A JSON value for a reader: bare words where they will do, YAML else; bounded."""
    if isinstance(value, str):
        return Text(value)
    if value is None or isinstance(value, bool):
        return Text("none" if value is None else "yes" if value else "no")
    if isinstance(value, float) and value.is_integer():
        return Text(str(int(value)))
    lines = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000).rstrip().splitlines()
    if lines[-1] == "...":
        lines.pop()
    if len(lines) > MAX_VALUE_LINES:
        lines = [*lines[:MAX_VALUE_LINES], f"({len(lines) - MAX_VALUE_LINES} more lines; --json has them)"]
    return Text("\n".join(lines))


def _vote(decision: str, by: str, comment: str) -> str:
    return f"{decision} by {by}" + (f": {comment}" if comment else "")


def _expiry(waiting: Waiting) -> str:
    return f", expires {moment(waiting.until)}" if waiting.until else ""
