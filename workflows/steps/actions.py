"""The action of each kind of step, and of steps that hold items or rounds. Each gives the step's output."""

from collections.abc import Mapping

from workflows.engine import Action
from workflows.steps.agent import run_agent
from workflows.steps.approval import run_approval
from workflows.steps.asks import run_ask
from workflows.steps.event import run_emit, run_event
from workflows.steps.goal import run_goal
from workflows.steps.group import run_group, run_items, run_rounds
from workflows.steps.process import run_process
from workflows.steps.state import run_state
from workflows.steps.tool import run_tool
from workflows.steps.wait import run_wait

ACTIONS: Mapping[str, Action] = {
    "tool": run_tool,
    "agent": run_agent,
    "goal": run_goal,
    "steps": run_group,
    "process": run_process,
    "approval": run_approval,
    "ask": run_ask,
    "event": run_event,
    "wait": run_wait,
    "state": run_state,
    "emit": run_emit,
    "for_each": run_items,
    "repeat": run_rounds,
}
