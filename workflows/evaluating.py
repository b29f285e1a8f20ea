"""What expressions of a run see: its input, its steps as they stand, its shared state."""

from collections.abc import Iterable, Mapping
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.run import Definition, RunRequest
    from language import expressions
    from workflows.nodes import Node, Scope
    from workflows.plan import Plan
    from workflows.state import SharedState


class Evaluating:
    """A run whose expressions can be evaluated."""

    plan: Plan
    state: SharedState

    def __init__(self, run: str, request: RunRequest, definition: Definition) -> None:
        self.run = run
        self.origin = request.origin or run
        self.request = request
        self.definition = definition
        self._facts = {
            "input": request.input,
            "run": {"id": run, "process": request.process, "started_by": request.started_by},
        }

    def evaluate(self, node: Node, value: Json, **names: Json) -> Json:
        return expressions.evaluate(value, self._names(node.scope, names), lambda name: _look_up(node.scope, name))

    def holds(self, node: Node, condition: str | bool, **names: Json) -> bool:
        return expressions.truth(condition, self._names(node.scope, names), lambda name: _look_up(node.scope, name))

    def evaluate_output(self) -> Json:
        root = self.plan.root
        return expressions.evaluate(
            self.definition.process.output, self._names(root, {}), lambda name: _look_up(root, name)
        )

    def names_for(self, node: Node, used: Iterable[str]) -> dict[str, Json]:
        """The values of these names as a step sees them now."""
        names = self._names(node.scope, {})
        return {name: names[name] for name in sorted(used) if name in names}

    def views(self, node: Node, steps: Iterable[str]) -> dict[str, Json]:
        """What `steps.ID` of each is now."""
        return {name: _look_up(node.scope, name) for name in sorted(steps)}

    def _names(self, scope: Scope, names: Mapping[str, Json]) -> dict[str, Any]:
        return {**self._facts, "state": self.state.values(), **scope.visible_names(), **names}


def _look_up(scope: Scope, name: str) -> Json:
    node = scope.find(name)
    return node.view() if node else {"output": None, "status": "pending"}
