"""The workflows of a release that decides otherwise: a timer before anything. Histories of the one do not replay on the
other. In a module of their own, since workflows are loaded apart."""

from datetime import timedelta
from typing import Any

from temporalio import workflow

from contracts.base import Json
from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunResult
from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow
from workflows.topic import UpgradingTopicWorkflow


@workflow.defn(name=PROCESS_WORKFLOW)
class NewerProcess(ProcessWorkflow):
    @workflow.run
    async def run(self, *payload: Json) -> RunResult:
        await workflow.sleep(timedelta(milliseconds=1))
        return await super().run(*payload)


NEWER_WORKFLOWS: tuple[type[Any], ...] = (NewerProcess, AgentWorkflow, UpgradingTopicWorkflow)
