"""Approvals in the middle of a turn: people agree to a call's exact arguments, change them, or refuse."""

from dataclasses import dataclass
from typing import cast

from pydantic_core import to_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.approval import CallApproval
    from contracts.asks import Answer
    from contracts.base import Json
    from workflows.agent.agent import Agent
    from workflows.agent.granting import NotGranted, Wanted, check_arguments
    from workflows.agent.people import ask_of, put

MAX_TITLE = 200


@dataclass(frozen=True)
class Agreed:
    """The arguments that may be used. `edited`: by whom and why, when they are not what the model asked for."""

    args: dict[str, Json]
    edited: Answer | None = None


async def agree(agent: Agent, wanted: Wanted) -> Agreed:
    """What people say to a call.

    Raises:
        NotGranted: they refused, or changed it to what is not granted.
    """
    if wanted.approval is None:
        return Agreed(wanted.args)
    answer = await _ask(agent, wanted, wanted.approval)
    if answer.outcome == "rejected":
        said = f"{answer.by}: {answer.comment}" if answer.by else "nobody, in time"
        raise NotGranted(f"{wanted.spec.name} was not approved; {said}")
    if answer.edits is None:
        return Agreed(wanted.args)
    args = cast(dict[str, Json], answer.edits)
    check_arguments(agent, wanted.spec, args)
    return Agreed(args, edited=answer)


async def _ask(agent: Agent, wanted: Wanted, approval: CallApproval) -> Answer:
    tool, args = wanted.spec.name, wanted.args
    text = to_json(args).decode()
    show: dict[str, Json] = {"agent": agent.request.agent, "tool": tool, "arguments": args}
    if agent.tainted and wanted.spec.is_gated:
        show["tainted"] = "the agent has read text from outside, which may have led it to this call"
    ask = ask_of(
        agent,
        f"{agent.request.agent}: {tool} {text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1] + '…'}",
        approval,
        show=show,
        subject={"tool": tool, "arguments": args},
        names={"args": args, "tool": tool},
        edits=wanted.spec.parameters,
        call=tool,
        grants=agent.request.grants,
        stops=approval.on_reject == "stop",
    )
    return await put(agent, ask)
