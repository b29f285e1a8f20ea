"""Whether anything of a process reads what people write: what they edit of an approval must come to something. Pure."""

import re
from collections.abc import Iterator, Mapping

from contracts.base import Json
from contracts.process import GroupStep, Process, Step
from language.expressions import expressions_in

_INSTANCE = re.compile(r"\[\d+\]|#\d+")
_READ = re.compile(r"""(?<![\w.])(?:steps|output)\b(?:\s*\.\s*\w+\b(?!\s*\()|\s*\[\s*(?:'\w+'|"\w+")\s*\])*""")
"""A name with the fields that follow it, as far as they are written out: `steps.ok.output` of `steps.ok.output[0].by`,
and of `steps.ok.output.map(each, each.by)`."""


def are_edits_read(process: Process, node: str) -> bool:
    """Whether an expression may read `edits` of the output of an approval step, which is named as in a run: `g[0].ok`.
    One that reads more, as `steps.ok.output` or the output of a group that holds it, may."""
    names = tuple(_INSTANCE.sub("", node).split("."))
    wanted = [("steps", name, "output", *names[depth:], "edits") for depth, name in enumerate(names, 1)]
    read = set(_read(process.output))
    for place, step in _walk(process.steps, ()):
        own = set(_read(step.model_dump(mode="json", exclude={"steps"})))
        if place == names[: len(place)]:  # Whose `success` and `repeat.until` see its own output.
            wanted.append(("output", *names[len(place) :], "edits"))
        else:
            own = {fields for fields in own if fields[0] == "steps"}
        read |= own
    return any(_agree(fields, each) for fields in read for each in wanted)


def _walk(steps: Mapping[str, Step], around: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Step]]:
    for name, step in steps.items():
        yield (*around, name), step
        if isinstance(step, GroupStep):
            yield from _walk(step.steps, (*around, name))


def _read(value: Json) -> Iterator[tuple[str, ...]]:
    for expression in expressions_in(value):
        for found in _READ.findall(expression):
            yield tuple(re.findall(r"\w+", found))


def _agree(fields: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return all(field == other for field, other in zip(fields, wanted, strict=False))
