"""Whether anything of a process reads what people write: what they edit of an approval must come to something."""

import re
from collections.abc import Iterator

from contracts.process import ApprovalStep, Process
from language.expressions import expressions_in
from language.names import walk
from language.source import Source
from language.strings import step_strings, strings

_INSTANCE = re.compile(r"\[\d+\]|#\d+")
_READ = re.compile(r"""(?<![\w.])(?:steps|output)\b(?:\s*\.\s*\w+\b(?!\s*\()|\s*\[\s*(?:'\w+'|"\w+")\s*\])*""")
"""A name with the fields that follow it, as far as they are written out: `steps.ok.output` of `steps.ok.output[0].by`,
and of `steps.ok.output.map(each, each.by)`."""


def are_edits_read(process: Process, node: str) -> bool:
    """Whether an expression may read `edits` of the output of an approval step, which is named as in a run: `g[0].ok`.
    One that reads more, as `steps.ok.output` or the output of a group that holds it, may."""
    names = tuple(_INSTANCE.sub("", node).split("."))
    wanted = [("steps", name, "output", *names[depth:], "edits") for depth, name in enumerate(names, 1)]
    read = [*_read(text for _, text in strings(process.output, ()))]
    for path, step in walk(process.steps):
        around, own = path[1::2], [*_read(text for _, text, _ in step_strings(path, step))]
        if around == names[: len(around)]:  # Whose `success` and `repeat.until` see its own output.
            wanted.append(("output", *names[len(around) :], "edits"))
            read += own
        else:
            read += [fields for fields in own if fields[0] == "steps"]
    return any(_agree(fields, each) for fields in set(read) for each in wanted)


def report_unread(source: Source, process: Process) -> None:
    """Approvals that say what may be edited, where nothing would be done with it."""
    for path, step in walk(process.steps):
        if isinstance(step, ApprovalStep) and step.approval.edits is not None:
            name = str(path[-1])
            if not are_edits_read(process, ".".join(map(str, path[1::2]))):
                source.report(
                    source.place((*path, "approval", "edits")),
                    f"nothing reads what people edit of `{name}`, so that it would not be done",
                    f"use steps.{name}.output.edits where it is to hold, or leave `edits` out",
                )


def _read(texts: Iterator[str]) -> Iterator[tuple[str, ...]]:
    for text in texts:
        for expression in expressions_in(text):
            for found in _READ.findall(expression):
                yield tuple(re.findall(r"\w+", found))


def _agree(fields: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return all(field == other for field, other in zip(fields, wanted, strict=False))
