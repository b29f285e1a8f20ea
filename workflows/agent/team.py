"""What an agent is given of others: the tools by which it calls on them, and the team they need in turn. Pure."""

from collections.abc import Iterator, Mapping

from contracts.agent import AgentRequest, Team
from contracts.base import Json
from contracts.process import AgentSpec
from contracts.team import team_of
from contracts.tools import ToolSpec, granted

MAX_HANDOVERS = 5
"""Of one task, from agent to agent."""
MAX_TOLD = 300
"""Characters of an agent's instructions by which others know it, when it has no description."""


def equipped(
    request: AgentRequest, name: str, *, agents: Mapping[str, AgentSpec], tools: Mapping[str, ToolSpec]
) -> AgentRequest:
    """The request as one for this agent: with its instructions and models, with its tools out of these, with what it
    needs of other agents within its depth."""
    spec = agents[name]
    depth = request.limits.depth
    team = team_of(spec, agents, depth)
    own = granted(spec.tools, tools)
    others = {tool for member in team.values() for tool in granted(member.tools, tools)}
    offered = {tool.name: tool for tool in _offers(spec, agents, depth, request.handovers)}
    return request.model_copy(
        update={
            "agent": name,
            "instructions": spec.instructions,
            "adapter": spec.adapter,
            "models": (spec.model,) if isinstance(spec.model, str) else spec.model,
            "grants": spec.tools,
            "approve": spec.approve,
            "tools": {**{tool: tools[tool] for tool in own}, **offered},
            "compaction": spec.compaction,
            "debate": spec.debate,
            "team": Team(agents=team, tools={tool: tools[tool] for tool in tools if tool in others - {*own}}),
        }
    )


def tools_for_others(request: AgentRequest) -> dict[str, ToolSpec]:
    """The tools that agents of its team are given theirs from."""
    own = {name: spec for name, spec in request.tools.items() if spec.via in ("tool", "process")}
    return {**own, **request.team.tools}


def _offers(spec: AgentSpec, agents: Mapping[str, AgentSpec], depth: int, handovers: int) -> Iterator[ToolSpec]:
    if depth > 1:
        yield from (_agent(name, agents[name]) for name in spec.agents)
        yield from (_peer(name, agents[name]) for name in spec.peers)
        if spec.debate is not None:
            yield _debate(spec.debate.among, spec.debate.rounds)
    if spec.hand_over and handovers < MAX_HANDOVERS:
        yield _hand_over({name: agents[name] for name in spec.hand_over})


def _agent(name: str, spec: AgentSpec) -> ToolSpec:
    task = {"type": "string", "minLength": 1, "description": "what it is to do, as a whole: it knows nothing else"}
    context = {"description": "facts for it, as JSON"}
    free = _object({"task": task, "context": context}, required=("task",))
    return ToolSpec(
        name=f"agent.{name}",
        description=f"Give the agent {name} a task and get its answer. {_told(spec)}",
        parameters=free if spec.input is None else spec.input,
        returns=spec.output or {},
        via="agent",
    )


def _peer(name: str, spec: AgentSpec) -> ToolSpec:
    question = {"type": "string", "minLength": 1, "description": "it remembers what you asked before"}
    return ToolSpec(
        name=f"peer.{name}",
        description=f"Ask your peer {name} a question and wait for the answer. {_told(spec)}",
        parameters=_object({"question": question}, required=("question",)),
        returns=spec.output or {},
        via="peer",
    )


def _debate(among: tuple[str, ...], rounds: int) -> ToolSpec:
    question = {"type": "string", "minLength": 1, "description": "the question, with all that one must know for it"}
    return ToolSpec(
        name="debate",
        description=f"Have {', '.join(among)} argue a question in at most {rounds} rounds, each seeing the others' "
        "last positions. You get the positions of every round; you are the judge.",
        parameters=_object({"question": question}, required=("question",)),
        via="debate",
    )


def _hand_over(candidates: Mapping[str, AgentSpec]) -> ToolSpec:
    who = " ".join(f"{name}: {_told(spec)}" for name, spec in candidates.items())
    properties: dict[str, Json] = {
        "to": {"enum": list(candidates)},
        "reason": {"type": "string", "minLength": 1, "description": "why it is the better one for this"},
        "summary": {"type": "string", "description": "what you found so far; of what was said it sees nothing else"},
    }
    return ToolSpec(
        name="hand_over",
        description="Hand your task over for good: another agent goes on with it and answers in your place. Call it "
        f"alone. {who}",
        parameters=_object(properties, required=("to", "reason")),
        via="hand_over",
    )


def _object(properties: Mapping[str, Json], required: tuple[str, ...]) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _told(spec: AgentSpec) -> str:
    """What those who may call on an agent are told of it."""
    return spec.description or " ".join(spec.instructions.split())[:MAX_TOLD]
