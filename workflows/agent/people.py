"""Asking people in the middle of an agent's work: the run it works for asks them, and tells what they said."""

import asyncio
from collections.abc import Mapping
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    import workflows.waiting as waiting
    from contracts.approval import Approve
    from contracts.asks import Answer, Ask, Withdrawal
    from contracts.base import Json
    from contracts.errors import ChildFailed
    from contracts.names import ASK_SIGNAL, WITHDRAW_SIGNAL
    from workflows.agent.agent import Agent
    from workflows.signals import tell


async def ask_people(
    agent: Agent,
    *,
    title: str,
    approve: Approve,
    show: Mapping[str, Json],
    subject: Mapping[str, Json],
    edits: dict[str, Json] | None = None,
) -> Answer:
    """What people decide about a subject, however long that takes. `edits`: the schema of what they may change.

    The time they take is not the agent's: its limit of time moves on by as much.

    Raises:
        ChildFailed: the run is not there any more, so nobody can decide.
    """
    return await put(agent, ask_of(agent, title, approve, show=dict(show), subject=dict(subject), edits=edits))


def ask_of(agent: Agent, title: str, approve: Approve, **more: Any) -> Ask:
    """`more`: the other fields of an `Ask`."""
    return Ask(
        id=str(workflow.uuid4()),
        workflow_id=workflow.info().workflow_id,
        step=agent.request.step,
        title=title,
        approve=Approve.model_validate({name: getattr(approve, name) for name in Approve.model_fields}),
        **more,
    )


async def put(agent: Agent, ask: Ask) -> Answer:
    """Ask, and wait. See `ask_people`."""
    with agent.waiting_for(ask):
        await _signal(agent, ASK_SIGNAL, ask)
        try:
            await waiting.until(lambda: ask.id in agent.answers)
        except asyncio.CancelledError:
            await _signal(agent, WITHDRAW_SIGNAL, Withdrawal(id=ask.id, step=ask.step))
            raise
    return agent.answers.pop(ask.id)


async def _signal(agent: Agent, name: str, message: Ask | Withdrawal) -> None:
    run = agent.request.run
    try:
        await tell(workflow.get_external_workflow_handle(run), name, message)
    except ApplicationError as error:
        raise ChildFailed(f"run {run}, which would ask people, is not there any more: {error.message}") from error
