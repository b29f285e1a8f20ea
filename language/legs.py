"""What text from outside may reach in a process, as far as the file tells: three legs of an agent, calls of steps.

An agent that reads untrusted text, reads sensitive data and changes the world could be talked into sending the one
where the other says; so the third needs people.
"""

from collections.abc import Iterator, Mapping

from contracts.base import Json
from contracts.process import AgentSpec, AgentStep, GoalStep, GroupStep, Process, ProcessStep, Step, StepBase, ToolStep
from contracts.team import team_of
from contracts.tools import ToolSpec, granted
from language import expressions
from language.names import walk
from language.source import Path, Source


class Legs:
    """`planned`: these are steps that a planner wrote for a goal, whose agents are those of the file."""

    def __init__(
        self, source: Source, process: Process, tools: Mapping[str, ToolSpec], *, planned: bool = False
    ) -> None:
        self._source = source
        self._process = process
        self._tools = tools
        self._planned = planned
        self._steps = dict(walk(process.steps))
        self._tainted: set[Path] = set()

    def check(self) -> None:
        if not self._planned:
            for name, agent in self._process.agents.items():
                self._agent(name, agent)
        self._spread()
        for path, step in self._steps.items():
            if isinstance(step, ToolStep):
                self._call(path, step)

    def _agent(self, name: str, agent: AgentSpec) -> None:
        reached = {tool: spec for spec in self._team(agent) for tool in self._granted(spec)}
        untrusted = sorted(tool for tool in reached if self._tools[tool].untrusted)
        sensitive = sorted(tool for tool in reached if self._tools[tool].sensitive)
        if not untrusted or not sensitive:
            return
        for member in self._team(agent):
            for tool in self._granted(member):
                if self._tools[tool].is_gated and (hole := _hole(member, tool)):
                    others = "" if member is agent else ", through an agent that it calls on,"
                    message = (
                        f"`{name}` reads text from outside (`{untrusted[0]}`), reads sensitive data "
                        f"(`{sensitive[0]}`) and can{others} call `{tool}`, which changes the world or sends out"
                    )
                    hint = f"{hole}, or give one of the three to another agent"
                    self._source.report(self._source.place(("agents", name, "tools")), message, hint)

    def _team(self, agent: AgentSpec) -> list[AgentSpec]:
        """The agent and all whom it may bring in."""
        return [agent, *team_of(agent, self._process.agents, agent.limits.depth).values()]

    def _granted(self, agent: AgentSpec) -> tuple[str, ...]:
        return granted(agent.tools, self._tools)

    def _reads_untrusted(self, agent: AgentSpec) -> bool:
        return any(self._tools[tool].untrusted for spec in self._team(agent) for tool in self._granted(spec))

    def _spread(self) -> None:
        """Find every step whose output may hold text from outside: round after round, until there are no more."""
        grown = True
        while grown:
            found = {path for path, step in self._steps.items() if path not in self._tainted and self._is(path, step)}
            self._tainted |= found
            grown = bool(found)

    def _is(self, path: Path, step: Step) -> bool:
        if isinstance(step, ToolStep):
            is_source = step.tool in self._tools and self._tools[step.tool].untrusted
            return is_source or (step.approve is None and bool(self._reads(path, step.with_)))
        if isinstance(step, AgentStep):
            agent = self._process.agents.get(step.agent)
            is_source = agent is not None and self._reads_untrusted(agent)
            return is_source or bool(self._reads(path, [step.task, step.with_]))
        if isinstance(step, GoalStep):
            agents = [self._process.agents[name] for name in step.agents if name in self._process.agents]
            is_source = any(self._tools[tool].untrusted for tool in granted(step.tools, self._tools))
            is_source = is_source or any(map(self._reads_untrusted, agents))
            return is_source or bool(self._reads(path, [step.goal, step.with_]))
        if isinstance(step, GroupStep):
            return any(inner[: len(path)] == path for inner in self._tainted)
        return isinstance(step, ProcessStep) and bool(self._reads(path, step.with_))

    def _call(self, path: Path, step: ToolStep) -> None:
        spec = self._tools.get(step.tool)
        is_vouched_for = step.approve is not None and step.approve.on_expiry == "reject"
        if spec is None or not spec.is_gated or is_vouched_for or step.accepts_untrusted:
            return
        if found := sorted(self._reads(path, step.with_)):
            message = f"`{step.tool}` is called with `{found[0]}`, which may hold text from outside"
            hint = "give the step `approve`, or `accepts_untrusted: true` when the tool takes it as mere data"
            self._source.report(self._source.place((*path, "tool")), message, hint)

    def _reads(self, path: Path, value: Json) -> set[str]:
        """What a step's value refers to that may hold text from outside, as it is written."""
        try:
            texts = expressions.expressions_in(value)
            used = {name for text in texts for name in expressions.steps_used(text)}
            names = {name for text in texts for name in expressions.names_used(text)}
        except ValueError:
            return set()  # which is reported where expressions are checked
        found = {f"steps.{name}" for name in used if self._find(path, name) in self._tainted}
        if not names.isdisjoint(("item", "index")) and self._are_items_tainted(path):
            found.add("item")
        return found

    def _are_items_tainted(self, path: Path) -> bool:
        for around in _around(path):
            written: StepBase = self._steps[around]
            if written.for_each is not None:
                inside = written.for_each
                return bool(self._reads(around, list(inside) if isinstance(inside, tuple) else inside))
        return False

    def _find(self, path: Path, name: str) -> Path | None:
        """The step of this name that a step sees: beside it, or further out."""
        for around in _around(path):
            if (found := (*around[:-1], name)) in self._steps:
                return found
        return None


def _around(path: Path) -> Iterator[Path]:
    """A step's place, and those of the groups around it, inner before outer."""
    while path:
        yield path
        path = path[:-2]


def _hole(agent: AgentSpec, tool: str) -> str | None:
    """What keeps people from being asked about every call of a tool, as the way out; None when nothing does."""
    covering = next((approval for approval in agent.approve if granted(approval.tools, (tool,))), None)
    if covering is None:
        return f"put `{tool}` behind the agent's `approve`"
    if covering.when is not None:
        return f"take `when` off the `approve` of `{tool}`"
    if covering.on_expiry == "approve":
        return f"take `on_expiry: approve` off the `approve` of `{tool}`"
    return None
