"""The workflow types there are: what a worker registers, and what histories are replayed on."""

from workflows.agent.workflow import AgentWorkflow
from workflows.process import ProcessWorkflow
from workflows.topic import TopicWorkflow, UpgradingTopicWorkflow

WORKFLOWS = (ProcessWorkflow, AgentWorkflow, TopicWorkflow)
RELEASED_WORKFLOWS = (ProcessWorkflow, AgentWorkflow, UpgradingTopicWorkflow)
"""The same, of a worker that is a release of a deployment."""
