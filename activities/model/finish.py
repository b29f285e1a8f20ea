"""Answers held to a schema: read from text that only wraps them, or carried by a tool `finish`.

With the tool a model ends its work by a call, which keeps those that would go on calling tools, or that cannot call
tools and fill a schema in one conversation. The workflow sees none of it: a call of the tool comes to it as a message
whose content is the answer as JSON, and goes back to the endpoint as the call it was.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from activities.model.names import outside_names
from activities.model.question import ReasonEnded
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, OfferedTool, ToolMessage, UserMessage

NAME = "finish"
FIELD = "answer"
"""Where the tool carries an answer that is no object."""

_DEFINITIONS = ("$defs", "definitions")
_THOUGHTS = re.compile(r"\A.*?</think(?:ing)?>", re.DOTALL)
"""Where the prompt has opened them already, only their end is in the answer."""
_FENCED = re.compile(r"^[ \t]*```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Finish:
    """The tool, under a name that no granted tool has. `wraps`: the answer is in `FIELD` of the arguments."""

    name: str
    parameters: dict[str, Any]
    wraps: bool
    as_text: bool

    @classmethod
    def of(cls, brief: Brief) -> "Finish":
        as_text = brief.output is None
        schema: dict[str, Any] = {"type": "string"} if brief.output is None else brief.output
        wraps = schema.get("type") != "object"
        return cls(_free_name(brief), _wrapped(schema) if wraps else schema, wraps, as_text)

    def offered(self, brief: Brief) -> Brief:
        """The brief of an endpoint that answers by the tool."""
        tool = OfferedTool(
            name=self.name,
            description="Give your answer and end the work. Call it alone, once everything else is done.",
            parameters=self.parameters,
        )
        outside = outside_names((*(each.name for each in brief.tools), self.name))[self.name]
        instructions = f"{brief.instructions}\n\nGive your final answer by calling the tool {outside}."
        return brief.model_copy(
            update={"instructions": instructions.strip(), "tools": (*brief.tools, tool), "output": None}
        )

    def told(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The conversation with earlier answers as the calls they were, and what was said to them as their results."""
        made: list[Message] = []
        for number, message in enumerate(messages):
            following = messages[number + 1] if number + 1 < len(messages) else None
            before = made[-1] if made else None
            if isinstance(message, AssistantMessage) and isinstance(following, UserMessage) and self._gave(message):
                call = CalledTool(id=f"{NAME}-{number}", name=self.name, arguments=self._arguments(message.content))
                made.append(AssistantMessage(tool_calls=(call,)))
            elif isinstance(message, UserMessage) and (call_id := self._called(before)):
                made.append(ToolMessage(call_id=call_id, content=message.content))
            else:
                made.append(message)
        return tuple(made)

    def heard(self, said: AssistantMessage, ended: ReasonEnded) -> tuple[AssistantMessage, ReasonEnded]:
        """The message as the workflow takes it: other calls are made first; alone, the tool's call is the answer."""
        others = tuple(call for call in said.tool_calls if call.name != self.name)
        given = next((call for call in said.tool_calls if call.name == self.name), None)
        if given is None:
            return said, ended
        if others:
            return AssistantMessage(content=said.content, tool_calls=others), ended
        return AssistantMessage(content=self._answer(given.arguments)), "stop" if ended == "tool_calls" else ended

    def _answer(self, arguments: str) -> str:
        if not self.wraps:
            return arguments
        try:
            value = from_json(arguments)
        except ValueError:
            return arguments
        value = value[FIELD] if isinstance(value, dict) and FIELD in value else value
        return value if self.as_text and isinstance(value, str) else to_json(value).decode()

    def _gave(self, message: AssistantMessage) -> bool:
        """Whether the message can go back as a call of the tool: endpoints insist on arguments that are an object."""
        if message.tool_calls or not is_json(message.content):
            return False
        return self.wraps or isinstance(from_json(message.content), dict)

    def _called(self, message: Message | None) -> str | None:
        """The id of the tool's call that a message is."""
        calls = message.tool_calls if isinstance(message, AssistantMessage) else ()
        return next((call.id for call in calls if call.name == self.name), None)

    def _arguments(self, content: str) -> str:
        if not self.wraps:
            return content
        return to_json({FIELD: content if self.as_text else from_json(content)}).decode()


def read_answer(content: str) -> str:
    """The JSON in a text that only wraps it: thoughts before it, a fence around it. Other text is left as it is."""
    if is_json(content):
        return content
    spoken = _THOUGHTS.sub("", content).strip()
    candidates = [spoken, *_FENCED.findall(spoken)[::-1]]
    return next((found.strip() for found in candidates if is_json(found)), content)


def is_json(text: str) -> bool:
    """Whether a text is JSON and nothing else."""
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """An object that carries a value of the schema; definitions stay where `#/` references look for them."""
    inner = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
    shared = {key: schema[key] for key in _DEFINITIONS if key in schema}
    return {"type": "object", "properties": {FIELD: inner}, "required": [FIELD], **shared}


def _free_name(brief: Brief) -> str:
    granted = {tool.name for tool in brief.tools}
    taken = granted | set(outside_names(granted).values())
    return next(name for name in _names() if name not in taken)


def _names() -> Iterable[str]:
    yield NAME
    number = 2
    while True:
        yield f"{NAME}_{number}"
        number += 1
