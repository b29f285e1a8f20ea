"""What a model asks for, held to what the agent was granted: before anything is scheduled, and again after edits."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from pydantic_core import to_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.approval import CallApproval
    from contracts.base import Json
    from contracts.errors import ExpressionFailed
    from contracts.messages import CalledTool
    from contracts.results import RESULT_READ
    from contracts.tools import ToolCall, ToolSpec, granted
    from language import expressions
    from language.arguments import read_arguments
    from language.constraints import refusal
    from language.schema import violations
    from workflows.agent.agent import Agent


class NotGranted(Exception):
    """A call that is not made; why, for the model to read. `is_attempt`: it went beyond what was granted."""

    def __init__(self, reason: str, *, is_attempt: bool = True) -> None:
        super().__init__(reason)
        self.is_attempt = is_attempt


@dataclass(frozen=True)
class Wanted:
    """A call that is granted. `approval`: of those who must agree first."""

    spec: ToolSpec
    args: dict[str, Json]
    asked: CalledTool
    activity_id: str
    approval: CallApproval | None = None


def wanted(agent: Agent, call: CalledTool, number: int) -> Wanted:
    """The call that the model asks for, the `number`-th of its turn.

    Raises:
        NotGranted: it cannot be read, or is not covered by any grant.
    """
    spec = agent.tools.get(call.name)
    if spec is None:
        tools = ", ".join(agent.request.tools) or "none"
        raise NotGranted(f"{call.name} is not one of your tools. Your tools: {tools}")
    try:
        args = read_arguments(call.arguments)
    except ValueError as error:
        raise NotGranted(str(error), is_attempt=False) from error
    check_arguments(agent, spec, args)
    agent.tool_calls += 1
    approval = _approval_of(agent, spec, args)
    return Wanted(spec, args, call, f"{agent.turn}.{number}-{spec.name}", approval)


def check_arguments(agent: Agent, spec: ToolSpec, args: Mapping[str, Json]) -> None:
    """Raises:
    NotGranted: the arguments do not fit the tool, or no grant covers them.
    """
    if wrong := violations(spec.parameters, dict(args)):
        raise NotGranted(f"{spec.name} cannot be called: {'; '.join(wrong)}", is_attempt=False)
    if spec.name == RESULT_READ.name:
        if args["result"] not in agent.parts:
            raise NotGranted("there is no such result of a call of yours; give the `result` that you were told")
        return
    is_grantable = spec.via in ("tool", "process")
    if is_grantable and agent.request.grants and (reason := refusal(agent.request.grants, spec.name, args)):
        raise NotGranted(reason)


def tool_call(agent: Agent, spec: ToolSpec, args: dict[str, Json], call_id: str) -> ToolCall:
    return ToolCall(
        args=args,
        key=_key(agent, spec, args),
        run=agent.request.run,
        step=agent.request.step,
        call_id=call_id,
        tainted=agent.tainted,
    )


def _approval_of(agent: Agent, spec: ToolSpec, args: dict[str, Json]) -> CallApproval | None:
    """Whom to ask before the call: of what is tainted, whatever `when` says, and not with time as the answer.

    Raises:
        NotGranted: people would have to agree, and nobody is named.
    """
    covering = [approval for approval in agent.request.approve if granted(approval.tools, (spec.name,))]
    if agent.tainted and spec.is_gated:
        if not covering:
            raise NotGranted(
                f"{spec.name} is refused: you have read text from outside, which nobody vouches for, and no person is "
                "named to approve this call. Go on without it, or say in your answer what should be done"
            )
        return covering[0].model_copy(update={"on_expiry": "reject"})
    return next((approval for approval in covering if _applies(approval, spec, args)), None)


def _applies(approval: CallApproval, spec: ToolSpec, args: dict[str, Json]) -> bool:
    """Whether its `when` holds; one that cannot be evaluated does."""
    if approval.when is None:
        return True
    try:
        return expressions.truth(approval.when, {"args": args, "tool": spec.name})
    except (ExpressionFailed, OverflowError):
        return True


def _key(agent: Agent, spec: ToolSpec, args: dict[str, Json]) -> str:
    """By content and occurrence: an agent that is started afresh by a repair and makes the same calls repeats no
    effect, while two calls alike in one conversation are two effects."""
    content = sha256(to_json([spec.name, sorted(args.items())])).hexdigest()[:16]
    occurrence = agent.calls_by_content[content] = agent.calls_by_content.get(content, 0) + 1
    return f"{workflow.info().workflow_id}/{spec.name}/{content}/{occurrence}"
