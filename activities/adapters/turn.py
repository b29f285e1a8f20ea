"""What every adapter is given for a turn, and gives back. Nothing is kept between turns but the conversation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import openai
from pydantic_core import to_json

from activities.model.endpoints import Endpoint
from contracts.base import Json
from contracts.errors import ModelFailed
from contracts.messages import Brief, CalledTool, Message, OfferedTool
from contracts.model import ModelReply
from contracts.settings import OPENAI_URL

MAX_REQUESTS = 20
"""Model calls in one turn of an agent that runs tools of its own."""


@dataclass(frozen=True)
class Ours:
    """What answers for a foreign agent without a model of its own: the alias's endpoint, else the rehearsal script."""

    endpoint: Endpoint | None
    client: openai.AsyncOpenAI | None
    script: Callable[[], ModelReply]


@dataclass(frozen=True)
class Turn:
    """`names`: our tools as the framework is shown them. `ours`: asked for only when it is needed."""

    agent: Any
    brief: Brief
    messages: Sequence[Message]
    names: dict[str, str]
    own_tools: bool
    ours: Callable[[], Ours]

    def offered(self) -> Iterator[tuple[OfferedTool, str]]:
        """Our tools with the names that the framework is shown."""
        for tool in self.brief.tools:
            yield tool, self.names[tool.name]

    def called(self, identity: str, outside: str, arguments: str) -> CalledTool:
        """A call that the workflow makes, under our own name of the tool."""
        inside = {shown: name for name, shown in self.names.items()}
        return CalledTool(id=identity, name=inside.get(outside, outside), arguments=arguments or "{}")

    def is_ours(self, outside: str) -> bool:
        return outside in self.names.values()


@dataclass(frozen=True)
class Said:
    """What the agent wants next, or its answer. `url`: of the endpoint that answered, for its prices, unless it was
    ours."""

    content: str = ""
    calls: tuple[CalledTool, ...] = ()
    native: Json = None
    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = "unknown"
    url: str = OPENAI_URL


class Advance(Protocol):
    async def __call__(self, turn: Turn) -> Said: ...


def parameters(tool: OfferedTool) -> dict[str, Any]:
    """The tool's arguments as JSON Schema of an object, which frameworks insist on."""
    return {"type": "object", "properties": {}} | tool.parameters


def answer_text(output: Any) -> str:
    """A framework's final output as an answer of ours: text as it is, anything else as JSON."""
    return output if isinstance(output, str) else to_json(output).decode()


def own_tool_called(name: str) -> ModelFailed:
    return ModelFailed(
        f"the adapter's agent called {name}, a tool of its own that waits for an approval of its framework; make it a "
        "tool of Surefoot, whose approvals are kept in the run"
    )
