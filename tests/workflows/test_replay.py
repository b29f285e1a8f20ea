"""Histories of every workflow and path, recorded once, replay on the code of today; a change of order is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from runtime.client import data_converter
from runtime.sandbox import workflow_runner
from runtime.settings import Settings
from workflows.agent.workflow import AgentWorkflow
from workflows.engine import Engine
from workflows.plan import Scope
from workflows.process import ProcessWorkflow
from workflows.topic import TopicWorkflow

FILES = sorted((Path(__file__).parents[1] / "histories").glob("*.json"))
WORKFLOWS = [ProcessWorkflow, AgentWorkflow, TopicWorkflow]
CONVERTER = data_converter(Settings())


def history(file: Path) -> WorkflowHistory:
    """Under the id that the run had, which may have held what a file's name cannot."""
    found = WorkflowHistory.from_json(file.stem, file.read_text())
    return replace(found, workflow_id=found.events[0].workflow_execution_started_event_attributes.workflow_id)


def test_every_workflow_has_a_history() -> None:
    types = {file.stem: history(file).events[0].workflow_execution_started_event_attributes for file in FILES}
    assert {started.workflow_type.name for started in types.values()} == {"Process", "Agent", "Topic"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_history_replays(file: Path) -> None:
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=workflow_runner(), data_converter=CONVERTER)
    await replayer.replay_workflow(history(file))


async def test_steps_started_in_another_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Engine.begin

    def backwards(self: Engine, scope: Scope) -> None:
        scope.nodes = dict(reversed(scope.nodes.items()))
        begin(self, scope)

    monkeypatch.setattr(Engine, "begin", backwards)
    # The sandbox would import the engine anew, without the change.
    runner = UnsandboxedWorkflowRunner()
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=runner, data_converter=CONVERTER)
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history(next(file for file in FILES if file.stem == "onboarding-approved")))
