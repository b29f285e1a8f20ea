"""Who works with whom: the agents that an agent may bring in, and those that they may bring in."""

from collections.abc import Mapping

from contracts.process import AgentSpec


def called_on(spec: AgentSpec) -> tuple[str, ...]:
    """The agents that may come to work for this one, each once."""
    among = spec.debate.among if spec.debate else ()
    return tuple(dict.fromkeys((*spec.agents, *spec.peers, *among)))


def team_of(spec: AgentSpec, agents: Mapping[str, AgentSpec], depth: int) -> dict[str, AgentSpec]:
    """Every agent that may come to work for this one or in its place, directly or through others, in `depth` levels
    with its own. Names that nobody has are left out."""
    levels: dict[str, int] = {}
    to_visit = [(spec, depth)]
    while to_visit:
        at, left = to_visit.pop()
        reached = [(name, left) for name in at.hand_over] + [(name, left - 1) for name in called_on(at)]
        for name, rest in reached:
            if name in agents and (rest := min(rest, agents[name].limits.depth)) > levels.get(name, 0):
                levels[name] = rest
                to_visit.append((agents[name], rest))
    return {name: agents[name] for name in agents if name in levels}
