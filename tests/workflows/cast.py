"""Several agents behind one endpoint, each with a script of its own."""

import json
from collections.abc import Sequence
from typing import Any

from tests.endpoint import Answered, Asked, Endpoint, completion

Script = Sequence[str | Sequence[tuple[str, Any]]]
"""What an agent says, in order: texts, or calls of one turn; the last again and again."""


class Cast:
    """Answers each agent, known by its instructions `You are NAME.`, by its own script: the next for each request."""

    def __init__(self, endpoint: Endpoint, **scripts: Script) -> None:
        self.asked: dict[str, list[Asked]] = {name: [] for name in scripts}
        self._scripts = scripts
        endpoint.default = self.answer

    def answer(self, asked: Asked) -> Answered:
        name = self.name_of(asked)
        self.asked[name].append(asked)
        script = self._scripts[name]
        said = script[min(len(self.asked[name]), len(script)) - 1]
        return _answered(asked, said)

    @staticmethod
    def name_of(asked: Asked) -> str:
        name: str = asked.messages[0]["content"].removeprefix("You are ").partition(".")[0]
        return name

    def told(self, name: str, request: int = -1) -> str:
        """The last message that an agent was sent."""
        content: str = self.asked[name][request].messages[-1]["content"]
        return content

    def tools_of(self, name: str) -> list[str]:
        return [tool["function"]["name"] for tool in self.asked[name][0].body.get("tools", [])]


class SteadyCast(Cast):
    """What comes next follows from the conversation that an agent is sent, so that a request that is made again,
    because a worker was lost, is answered as it was."""

    def answer(self, asked: Asked) -> Answered:
        name = self.name_of(asked)
        self.asked[name].append(asked)
        turn = sum(message["role"] == "assistant" for message in asked.messages)
        script = self._scripts[name]
        return _answered(asked, script[min(turn, len(script) - 1)])


def _answered(asked: Asked, said: str | Sequence[tuple[str, Any]]) -> Answered:
    text, calls = (said, ()) if isinstance(said, str) else ("", tuple(said))
    finish = "tool_calls" if calls else "stop"
    return Answered(body=json.dumps(completion(asked, text, calls, finish, (100, 20))))


def team(*, step: str = "", more: str = "", **agents: str) -> str:
    """A process whose one step asks the agent `lead`."""
    lines = "\n".join(f"  {name}: {{instructions: You are {name}., {spec}}}" for name, spec in agents.items())
    return f"process: team\n{more}\nagents:\n{lines}\nsteps:\n  ask: {{agent: lead, task: Decide it., {step}}}\n" + (
        "output: ${ steps.ask.output }\n"
    )
