"""A process as a Mermaid flowchart: what it does, in which order, what is undone, how far a run is."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from contracts.base import format_duration
from contracts.process import (
    AgentStep,
    ApprovalStep,
    GroupStep,
    Process,
    ProcessStep,
    Step,
    ToolStep,
    Until,
    WaitStep,
)

SHAPES = {
    "tool": ("[", "]"),
    "agent": ("([", "])"),
    "approval": ("{{", "}}"),
    "process": ("[[", "]]"),
    "wait": ("((", "))"),
}
COLOURS = {
    "running": "fill:#dbeafe,stroke:#1d4ed8",
    "waiting": "fill:#fef3c7,stroke:#b45309",
    "attention": "fill:#fee2e2,stroke:#b91c1c",
    "completed": "fill:#dcfce7,stroke:#15803d",
    "skipped": "fill:#f3f4f6,stroke:#9ca3af,color:#9ca3af",
    "failed": "fill:#fecaca,stroke:#991b1b",
    "undone": "fill:#ede9fe,stroke:#6d28d9",
}


def mermaid(process: Process, statuses: Mapping[str, str] | None = None) -> str:
    """The flowchart's text. `statuses`: of a run's steps by id, which then colour them."""
    states = statuses or {}
    lines = [f"%% {process.process} version {process.version}", "flowchart TD"]
    lines += _scope(process.steps, "", "  ", {})
    for status, style in COLOURS.items():
        if marked := [_node(step) for step, state in states.items() if state == status and "[" not in step]:
            lines += [f"  classDef {status} {style}", f"  class {','.join(marked)} {status}"]
    return "\n".join(lines) + "\n"


def _scope(steps: Mapping[str, Step], prefix: str, indent: str, outer: Mapping[str, str]) -> Iterator[str]:
    names = {**outer, **{name: f"{prefix}{name}" for name in steps}}
    for name, step in steps.items():
        step_id = f"{prefix}{name}"
        if isinstance(step, GroupStep):
            yield f'{indent}subgraph {_node(step_id)}["{_label(name, step)}"]'
            yield from _scope(step.steps, f"{step_id}.", indent + "  ", names)
            yield f"{indent}end"
        else:
            opening, closing = SHAPES[step.kind]
            yield f'{indent}{_node(step_id)}{opening}"{_label(name, step)}"{closing}'
        for need in step.needs:
            yield f"{indent}{_node(names[need])} --> {_node(step_id)}"
        if step.undo is not None:
            yield f'{indent}{_node(step_id)}_undo["↶ {_text(step.undo.tool)}"]'
            yield f"{indent}{_node(step_id)} -.-> {_node(step_id)}_undo"


def _label(name: str, step: Step) -> str:
    lines = [f"<b>{_text(name)}</b>", _text(_what(step))]
    if step.when is not None:
        lines.append(f"when {_text(str(step.when))}")
    if step.for_each is not None:
        lines.append(f"for each {_text(str(step.for_each))}")
    return "<br/>".join(line for line in lines if line)


def _what(step: Step) -> str:
    match step:
        case ToolStep():
            return step.tool
        case AgentStep():
            return f"agent {step.agent}"
        case ApprovalStep():
            return step.approval.title
        case ProcessStep():
            return f"process {step.process}"
        case WaitStep(wait=Until(until=moment)):
            return f"until {moment}"
        case WaitStep(wait=timedelta() as time):
            return f"wait {format_duration(time)}"
    return ""


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
