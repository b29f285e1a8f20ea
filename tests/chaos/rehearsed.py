"""A model endpoint that says over HTTP what the sample processes' rehearsals say, worked out from what it is sent."""

import json
from typing import Any

from activities.model.names import outside_names
from activities.model.rehearsal import rehearse
from contracts.errors import ModelFailed
from contracts.messages import AssistantMessage, Brief, CalledTool, Message, ToolMessage
from runtime.catalog import Catalog
from tests.endpoint import Answered, Asked, completion

FAILED = "error: "
"""What the result of a call that failed begins with."""
CONTEXT = "\n\nContext:\n"


class Rehearsed:
    """A script for `tests.endpoint`. Who is asked is known by the instructions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._agents = {
            agent.instructions: (process, name)
            for process in catalog.names
            for name, agent in catalog.definition(process).process.agents.items()
        }
        self._outside = outside_names([*catalog.specs, "state.get", "state.put"])

    def __call__(self, asked: Asked) -> Answered:
        if "messages" not in asked.body:
            return Answered(400)  # whoever asked was killed while it did
        instructions, task, *said = asked.messages
        process, agent = self._agents[instructions["content"]]
        text, _, context = task["content"].partition(CONTEXT)
        brief = Brief(
            process=process,
            agent=agent,
            instructions=instructions["content"],
            task=text,
            context=json.loads(context) if context else None,
            models=("default",),
            output=asked.body.get("response_format", {}).get("json_schema", {}).get("schema"),
        )
        script = self._catalog.rehearsal(process)
        try:
            message = rehearse(script, brief, [_read(each) for each in said]).message
        except ModelFailed:  # it does not foresee that a call fails
            message = rehearse(script, brief, _without_failures(said)).message
        calls = tuple((self._outside[call.name], call.arguments) for call in message.tool_calls)
        finish = "tool_calls" if calls else "stop"
        return Answered(body=json.dumps(completion(asked, message.content or "", calls, finish, (100, 20))))


def _without_failures(said: list[dict[str, Any]]) -> list[Message]:
    """The conversation as if calls that failed had not been made, so that they are made again, as a model would."""
    failed = {each["tool_call_id"] for each in said if each["role"] == "tool" and each["content"].startswith(FAILED)}
    spoiled = [{call["id"] for call in each.get("tool_calls") or ()} for each in said if each["role"] == "assistant"]
    dropped = {call for calls in spoiled if calls & failed for call in calls}
    kept = [
        each
        for each in said
        if each.get("tool_call_id") not in dropped
        and not any(call["id"] in dropped for call in each.get("tool_calls") or ())
    ]
    return [_read(each) for each in kept]


def _read(message: dict[str, Any]) -> Message:
    if message["role"] == "tool":
        return ToolMessage(call_id=message["tool_call_id"], content=message["content"])
    calls = tuple(
        CalledTool(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return AssistantMessage(content=message.get("content") or "", tool_calls=calls)
