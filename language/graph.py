"""A process as a Mermaid flowchart: what it does, in which order, what is undone, how far a run is, what lasts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from contracts.base import format_duration
from contracts.process import (
    AgentSpec,
    AgentStep,
    ApprovalStep,
    EmitStep,
    EventStep,
    Fallback,
    GoalStep,
    GroupStep,
    Process,
    ProcessStep,
    StateStep,
    Step,
    ToolStep,
    Until,
    WaitStep,
)
from contracts.run import StepView
from contracts.team import called_on
from contracts.triggers import EventTrigger, ScheduleTrigger, Trigger
from language.critical import critical_path
from language.names import walk

SHAPES = {
    "tool": ("[", "]"),
    "agent": ("([", "])"),
    "goal": ("[/", "\\]"),
    "approval": ("{{", "}}"),
    "process": ("[[", "]]"),
    "event": (">", "]"),
    "wait": ("((", "))"),
    "state": ("[(", ")]"),
    "emit": ("[/", "/]"),
}
COLOURS = {
    "running": "fill:#dbeafe,stroke:#1d4ed8",
    "waiting": "fill:#fef3c7,stroke:#b45309",
    "attention": "fill:#fee2e2,stroke:#b91c1c",
    "completed": "fill:#dcfce7,stroke:#15803d",
    "skipped": "fill:#f3f4f6,stroke:#9ca3af,color:#9ca3af",
    "cancelled": "fill:#f3f4f6,stroke:#9ca3af,color:#9ca3af",
    "failed": "fill:#fecaca,stroke:#991b1b",
    "undone": "fill:#ede9fe,stroke:#6d28d9",
}
CRITICAL = "stroke-width:4px"


@dataclass
class Box:
    """A step to draw. `seconds`: how long it took, in a run. `inner`: of a group, or of a goal that has its plan."""

    id: str
    kind: str
    label: str
    needs: tuple[str, ...] = ()
    fallback: str | None = None
    undo: str | None = None
    seconds: float | None = None
    inner: "list[Box]" = field(default_factory=list)


def mermaid(process: Process, steps: Iterable[StepView] = ()) -> str:
    """The flowchart's text. `steps`: of a run, which give it colours, times and the plans of goals.

    The critical path is drawn bold: the chain of steps that took longest in a run, the longest chain of a file.
    """
    seen = {step.id: step for step in steps}
    boxes = list(_boxes(process.steps, "", {}, seen))
    path = critical_path(boxes)
    drawing = _Drawing(set(path))
    lines = [f"%% {process.process} version {process.version}", f"%% critical path: {' > '.join(path)}", "flowchart TD"]
    lines += drawing.triggers(process.on, boxes)
    lines += drawing.boxes(boxes, "  ")
    lines += drawing.teams(process)
    for status, style in COLOURS.items():
        if marked := [
            _node(step) for step, view in seen.items() if view.status == status and not set("[#") & set(step)
        ]:
            lines += [f"  classDef {status} {style}", f"  class {','.join(marked)} {status}"]
    lines += [f"  classDef critical {CRITICAL}", f"  class {','.join(map(_node, path))} critical"]
    if drawing.bold:
        lines.append(f"  linkStyle {','.join(map(str, drawing.bold))} {CRITICAL}")
    return "\n".join(lines) + "\n"


class _Drawing:
    """Lines of the chart; counts the arrows, since Mermaid styles them by number."""

    def __init__(self, critical: set[str]) -> None:
        self._critical = critical
        self._arrows = 0
        self.bold: list[int] = []

    def boxes(self, boxes: Iterable[Box], indent: str) -> Iterator[str]:
        for box in boxes:
            node = _node(box.id)
            if box.inner:
                yield f'{indent}subgraph {node}["{box.label}"]'
                yield from self.boxes(box.inner, indent + "  ")
                yield f"{indent}end"
            else:
                opening, closing = SHAPES.get(box.kind, SHAPES["tool"])
                yield f'{indent}{node}{opening}"{box.label}"{closing}'
            for need in box.needs:
                yield self._arrow(f"{indent}{_node(need)} --> {node}", bold={need, box.id} <= self._critical)
            if box.fallback is not None:
                yield self._arrow(f"{indent}{node} -. instead .-> {_node(box.fallback)}")
            if box.undo is not None:
                yield f'{indent}{node}_undo["↶ {_text(box.undo)}"]'
                yield self._arrow(f"{indent}{node} -.-> {node}_undo")

    def triggers(self, triggers: Iterable[Trigger], boxes: Iterable[Box]) -> Iterator[str]:
        first = [box for box in boxes if not box.needs]
        for number, trigger in enumerate(triggers):
            yield f'  on_{number}>"<b>on</b><br/>{_text(_what_starts(trigger))}"]'
            for box in first:
                yield self._arrow(f"  on_{number} --> {_node(box.id)}")

    def teams(self, process: Process) -> Iterator[str]:
        """Who may come to work for the agents of steps, and for those in turn: each agent once."""
        steps = ((path, step) for path, step in walk(process.steps) if isinstance(step, AgentStep))
        asking = [(_node(".".join(map(str, path[1::2]))), step.agent) for path, step in steps]
        drawn: set[str] = set()
        while asking:
            node, name = asking.pop(0)
            spec = process.agents.get(name)
            for other, how in _others(spec) if spec else ():
                if other not in drawn:
                    drawn.add(other)
                    yield f'  a_{other}(["agent {_text(other)}"])'
                    asking.append((f"a_{other}", other))
                yield self._arrow(f"  {node} -. {how} .-> a_{other}")

    def _arrow(self, line: str, *, bold: bool = False) -> str:
        if bold:
            self.bold.append(self._arrows)
        self._arrows += 1
        return line


def _others(spec: AgentSpec) -> Iterator[tuple[str, str]]:
    """The agents that one may call on, and for what."""
    for name in called_on(spec):
        kinds = {"asks": spec.agents, "consults": spec.peers, "hears": spec.debate.among if spec.debate else ()}
        yield name, next(how for how, names in kinds.items() if name in names)
    for name in spec.hand_over:
        yield name, "hands over"


def _boxes(
    steps: Mapping[str, Step], prefix: str, outer: Mapping[str, str], seen: Mapping[str, StepView]
) -> Iterator[Box]:
    names = {**outer, **{name: f"{prefix}{name}" for name in steps}}
    for name, step in steps.items():
        step_id = f"{prefix}{name}"
        view = seen.get(step_id)
        box = Box(
            id=step_id,
            kind=step.kind,
            label=_label(name, step),
            needs=tuple(names[need] for need in step.needs),
            fallback=names[step.on_failure.fallback] if isinstance(step.on_failure, Fallback) else None,
            undo=step.undo.tool if step.undo else None,
            seconds=_seconds(view),
        )
        if isinstance(step, GroupStep):
            box.inner = list(_boxes(step.steps, f"{step_id}.", names, seen))
        elif isinstance(step, GoalStep):
            box.inner = list(_planned(step_id, seen))
        yield box


def _planned(owner: str, seen: Mapping[str, StepView]) -> Iterator[Box]:
    """The steps of a plan, as a run shows them."""
    prefix = f"{owner}."
    for step_id, view in seen.items():
        name = step_id.removeprefix(prefix)
        if name == step_id or set(".[#") & set(name):
            continue
        yield Box(
            id=step_id,
            kind=view.kind,
            label=f"<b>{_text(name)}</b><br/>{_text(view.title)}",
            needs=tuple(need for need in view.needs if need in seen),
            undo=view.undo[0].tool if view.undo else None,
            seconds=_seconds(view),
            inner=list(_planned(step_id, seen)),
        )


def _seconds(view: StepView | None) -> float | None:
    if view is None:
        return None
    return (view.ended - view.started).total_seconds() if view.started and view.ended else 0.0


def _label(name: str, step: Step) -> str:
    lines = [f"<b>{_text(name)}</b>", _text(_what(step))]
    if step.join != "all":
        lines.append(f"after {step.join} of {len(step.needs)}")
    if step.when is not None:
        lines.append(f"when {_text(str(step.when))}")
    if step.for_each is not None:
        lines.append(f"for each {_text(str(step.for_each))}")
    if step.repeat is not None:
        lines.append(f"until {_text(step.repeat.until)}")
    return "<br/>".join(line for line in lines if line)


def _what(step: Step) -> str:
    match step:
        case ToolStep() | GoalStep():
            return str(getattr(step, step.kind))
        case AgentStep() | ProcessStep() | EventStep() | EmitStep():
            return f"{step.kind} {getattr(step, step.kind)}"
        case ApprovalStep():
            return step.approval.title
        case StateStep():
            return f"{step.state.operation} state.{step.state.key}"
        case WaitStep(wait=Until(until=moment)):
            return f"until {moment}"
        case WaitStep(wait=timedelta() as time):
            return f"wait {format_duration(time)}"
    return ""


def _what_starts(trigger: Trigger) -> str:
    if isinstance(trigger, ScheduleTrigger):
        return f"{trigger.schedule} {trigger.timezone}"
    return f"event {trigger.event}" if isinstance(trigger, EventTrigger) else f"webhook {trigger.webhook}"


def _node(step_id: str) -> str:
    """An id Mermaid takes, different for different steps: `end` and other words of its own are kept apart."""
    return "s_" + step_id.replace("_", "__").replace(".", "_d_")


def _text(text: str) -> str:
    """Text that cannot end a Mermaid label or become markup."""
    escaped = "".join(character if character.isprintable() else " " for character in text)[:100]
    return escaped.translate(_ENTITIES)


_ENTITIES = str.maketrans(
    {"#": "#35;", "&": "#38;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "{": "#123;", "}": "#125;"}
)
