"""From the text of an `evals.yaml` to its cases, or every mistake of it at once."""

import fnmatch
from collections.abc import Collection
from typing import Any

from contracts.errors import DefinitionInvalid
from contracts.evals import Case, Evals
from language import expressions
from language.schema import violations
from language.shape import read_shape
from language.source import Path, Source, load_yaml
from language.structure import close

NAMES = frozenset(
    {"input", "status", "output", "error", "steps", "effects", "calls", "cost", "tokens", "model_calls", "seconds"}
)
"""What a criterion may speak of."""


def load_evals(
    text: str | bytes, file: str, *, steps: Collection[str], tools: Collection[str], schema: dict[str, Any] | None
) -> Evals:
    """Args:
        file: how problems name it.
        steps: of the process.
        tools: that it names.
        schema: of its input.

    Raises:
        DefinitionInvalid: with every mistake, in the order of their places.
    """
    source = load_yaml(text, file, begins="cases:")
    evals = read_shape(source, Evals)
    if evals is not None:
        for name in evals.fakes:
            if not fnmatch.filter(tools, name):
                source.report(source.key(("fakes", name)), f"the process has no tool `{name}`", close(name, tools))
        if not evals.cases:
            source.report(source.place(("cases",)), "there is no case", "write one at least")
        names = [case.name for case in evals.cases]
        for index, case in enumerate(evals.cases):
            if case.name in names[:index]:
                at = source.place(("cases", index, "name"))
                source.report(at, f"two cases are called `{case.name}`", "rename one")
            _check_case(source, ("cases", index), case, steps, schema or {})
    if evals is None or source.problems:
        raise DefinitionInvalid(sorted(source.problems, key=lambda problem: (problem.line, problem.column)))
    return evals


def _check_case(source: Source, at: Path, case: Case, steps: Collection[str], schema: dict[str, Any]) -> None:
    for wrong in violations(schema, case.input):
        source.report(source.place((*at, "input")), f"the process does not take it: {wrong}", "mend the input")
    for index, said in enumerate(case.people):
        _check_step(source, (*at, "people", index, "step"), said.step, steps)
    for index, criterion in enumerate(case.expect):
        _check_criterion(source, (*at, "expect", index), criterion, steps)


def _check_step(source: Source, at: Path, step: str, steps: Collection[str]) -> None:
    if step not in steps:
        source.report(source.place(at), f"the process has no step `{step}`", close(step, steps))


def _check_criterion(source: Source, at: Path, text: str, steps: Collection[str]) -> None:
    try:
        parts = expressions.split(text)
    except expressions.UnclosedExpression as error:
        source.report(source.inside(at, error.offset), str(error), "close it")
        return
    if len(parts) != 1 or not parts[0][2]:
        source.report(source.place(at), f"`{text}` is text, not an expression", "write one whole ${ }")
        return
    offset, expression, _ = parts[0]
    place = source.inside(at, offset)
    if wrong := expressions.syntax_error(expression):
        source.report(place, f"`{expression}` is no CEL expression: {wrong[0]}", "mend the syntax")
        return
    for name in sorted(expressions.names_used(expression) - NAMES):
        source.report(place, f"unknown name `{name}`", close(name, NAMES))
    for step in sorted(expressions.steps_used(expression) - set(steps)):
        source.report(place, f"the process has no step `{step}`", close(step, steps))
