"""A test of the tests: with a bug planted in the engine, random plans find it."""

from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner

from tests.properties.rig import open_rig
from tests.properties.search import drawn, results
from workflows.engine import Engine
from workflows.nodes import Node, Scope
from workflows.plan import Plan

SEED = 0
PLANS = 100
AT_A_TIME = 20
"""The plans of the everyday test, so many at a time until one of them finds the bug."""


def drop_a_need(patch: pytest.MonkeyPatch) -> None:
    linked = Plan.add_steps

    def add_steps(self: Plan, scope: Scope, steps: Any) -> None:
        fewer = {
            name: step.model_copy(update={"needs": step.needs[1:]}) if len(step.needs) > 1 else step
            for name, step in steps.items()
        }
        linked(self, scope, fewer)

    patch.setattr(Plan, "add_steps", add_steps)


def undo_in_any_order(patch: pytest.MonkeyPatch) -> None:
    def predecessors(self: Node, **_: bool) -> Iterator[Node]:
        yield from ()

    patch.setattr(Node, "predecessors", predecessors)


def forget_an_undo(patch: pytest.MonkeyPatch) -> None:
    has_effect = vars(Node)["has_effect"].fget
    patch.setattr(Node, "has_effect", property(lambda node: has_effect(node) and not node.id.endswith("b")))


def skip_when_any_need_was_skipped(patch: pytest.MonkeyPatch) -> None:
    is_skipped = Engine._is_skipped

    def wrong(self: Engine, node: Node) -> bool:
        return any(need.record.status == "skipped" for need in node.needs) or is_skipped(self, node)

    patch.setattr(Engine, "_is_skipped", wrong)


def run_what_is_to_be_skipped(patch: pytest.MonkeyPatch) -> None:
    is_skipped = Engine._is_skipped
    patch.setattr(Engine, "_is_skipped", lambda self, node: is_skipped(self, node) and not node.needs)


def wait_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Node, "is_ready", property(lambda node: not node.missing))


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant",
    [
        drop_a_need,
        undo_in_any_order,
        forget_an_undo,
        skip_when_any_need_was_skipped,
        run_what_is_to_be_skipped,
        wait_for_all,
    ],
)
async def test_a_planted_bug_is_found(client: Client, monkeypatch: pytest.MonkeyPatch, plant: Any) -> None:
    plant(monkeypatch)
    plans = drawn(SEED, PLANS)
    async with open_rig(client, UnsandboxedWorkflowRunner()) as rig:
        for first in range(0, PLANS, AT_A_TIME):
            if any(await results(rig, plans[first : first + AT_A_TIME])):
                return
    pytest.fail(f"{PLANS} plans did not find the bug")
