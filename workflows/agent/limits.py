"""The limits of an agent: what a model call may use is reserved before it, and settled by what it used.

A call is made only when what it sends fits into what is left, and it may answer with no more than the rest.
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.agent import Measured
    from contracts.base import format_duration
    from contracts.errors import LimitReached
    from contracts.model import LEAST_ANSWER, ModelReply, Usage
    from contracts.process import Limits
    from workflows.agent.agent import Agent

MOST_ANSWER = 8_192
"""Output tokens of a call under a limit. Endpoints refuse a cap that is over what their model can write."""

TOKENS_PER_BYTE = 0.25
"""Of a conversation that was not measured yet; English text has 0.2 to 0.25, JSON up to 0.35."""

MARGIN = 1.25
"""Over what was measured, for text that is denser than that before it."""

WARN_AT = 0.8


@dataclass(frozen=True)
class Reservation:
    """What one model call may use: tokens of its answer, tokens in all, US dollars. It sends about `input_tokens`."""

    input_tokens: int = 0
    max_output_tokens: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None


@dataclass(frozen=True)
class Shortage:
    """A limit that leaves no room for another call; `used` says so in words."""

    limit: str
    used: str

    def error(self, agent: Agent) -> LimitReached:
        name = agent.request.agent
        message = f"{name} stopped at its limit: {self.used}; raise agents.{name}.limits.{self.limit}"
        return LimitReached(message, {"limit": self.limit, "turns": agent.usage.calls, "so_far": last_said(agent)})


def reserve(agent: Agent, longer: int | None = None) -> Reservation | Shortage:
    """What the next call may use, or the limit that leaves it no room. `longer`: the cap of a call that is made once
    more because its answer was cut off."""
    if (agent.reserves or longer is None) and (short := _used_up(agent)):
        return short
    allowed = agent.allowed
    if not agent.reserves:
        return Reservation(max_output_tokens=longer)
    sent = estimate(agent)
    max_tokens = None if allowed.tokens is None else allowed.tokens - agent.usage.tokens
    if max_tokens is not None and max_tokens - sent < LEAST_ANSWER:
        needs = f"and the next turn sends about {sent}"
        return Shortage("tokens", f"{agent.usage.tokens} tokens used of {allowed.tokens}, {needs}")
    max_cost = None if allowed.cost is None else allowed.cost - agent.usage.cost
    if max_tokens is None and max_cost is None:
        return Reservation(max_output_tokens=longer)
    return Reservation(sent, longer or MOST_ANSWER, max_tokens, max_cost)


def settle(agent: Agent, usage: Usage) -> None:
    """What a call used, however it ended. One answer is one turn, however many attempts it took."""
    count(agent, usage.model_copy(update={"calls": 1}))


def count(agent: Agent, usage: Usage) -> None:
    """What was used, by the agent or by those who worked for it."""
    agent.usage += usage
    if not agent.reserves:
        return
    for limit, used, of in _shares(agent):
        if limit not in agent.warned and used >= WARN_AT * of:
            agent.warned |= {limit}
            agent.note("warning", f"{agent.request.agent} has used {used / of:.0%} of its limit of {limit} ({of:g})")


def measure(agent: Agent, reply: ModelReply) -> None:
    usage = reply.usage
    if usage.input_tokens:
        agent.measured = Measured(
            size=agent.conversation.size, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
        )
    elif usage.rehearsed:
        agent.measured = Measured(size=agent.conversation.size, input_tokens=0, output_tokens=0)
    agent.window = reply.window or agent.window


def estimate(agent: Agent) -> int:
    """Input tokens of the next call: what the last one had, and what is new at the rate that was measured."""
    size, measured = agent.conversation.size, agent.measured
    if measured is None:
        return round(size * TOKENS_PER_BYTE)
    measured_rate = measured.input_tokens / measured.size
    if size <= measured.size:
        return round(size * measured_rate)
    rate = max(TOKENS_PER_BYTE, MARGIN * measured_rate) if measured_rate else 0.0
    return measured.input_tokens + round((size - measured.size) * rate)


def enlarge(agent: Agent, limits: Limits) -> None:
    """Other limits hold from now on; whoever is warned of them is warned again."""
    agent.allowed = limits
    agent.warned = frozenset()


def last_said(agent: Agent) -> str:
    """The agent's last words that were not only calls, as far as a record holds them."""
    conversation = agent.conversation
    entries = [*conversation.pending[::-1], *(entry for turn in conversation.turns[::-1] for entry in turn.entries)]
    said = (entry.message.content for entry in entries if entry.message.role == "assistant")
    return next((text for text in said if text.strip()), "")[:2_000]


def _used_up(agent: Agent) -> Shortage | None:
    allowed, usage = agent.allowed, agent.usage
    turns = usage.calls if agent.reserves else agent.turn
    left = agent.own_time_left()
    if turns >= allowed.turns:
        return Shortage("turns", f"{turns} turns used of {allowed.turns}")
    if allowed.tokens is not None and usage.tokens >= allowed.tokens:
        return Shortage("tokens", f"{usage.tokens} tokens used of {allowed.tokens}")
    if allowed.cost is not None and usage.cost >= allowed.cost:
        return Shortage("cost", f"{usage.cost:.4f} USD used of {allowed.cost}")
    if allowed.time is not None and left is not None and left <= timedelta(0):
        return Shortage("time", f"its time of {format_duration(allowed.time)} is over")
    return None


def _shares(agent: Agent) -> list[tuple[str, float, float]]:
    """Of each limit there is: its name, what is used, how much there is; time in seconds."""
    allowed, usage = agent.allowed, agent.usage
    worked = agent.worked().total_seconds()
    seconds = None if allowed.time is None else allowed.time.total_seconds()
    found = [
        ("turns", usage.calls, allowed.turns),
        ("tokens", usage.tokens, allowed.tokens),
        ("cost", usage.cost, allowed.cost),
        ("time", worked, seconds),
    ]
    return [(limit, used, of) for limit, used, of in found if of is not None]
