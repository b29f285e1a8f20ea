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
FORESEEN = "state.put"
"""A tool whose refusals are part of what the scripts rehearse."""
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
            message = rehearse(script, brief, _without_failures(said, but=self._outside[FORESEEN])).message
        except ModelFailed:
            message = rehearse(script, brief, _without_failures(said)).message
        calls = tuple((self._outside[call.name], call.arguments) for call in message.tool_calls)
        finish = "tool_calls" if calls else "stop"
        return Answered(body=json.dumps(completion(asked, message.content or "", calls, finish, (100, 20))))


def _without_failures(said: list[dict[str, Any]], but: str = "") -> list[Message]:
    """The conversation as if calls that failed had not been made, so that they are made again, as a model would.

    `but`: a tool whose failures the script deals with.
    """
    made = [(each.get("tool_calls") or ()) for each in said if each["role"] == "assistant"]
    foreseen = {call["id"] for calls in made for call in calls if call["function"]["name"] == but}
    failed = {each["tool_call_id"] for each in said if each["role"] == "tool" and each["content"].startswith(FAILED)}
    failed -= foreseen
    spoiled = [{call["id"] for call in calls} for calls in made]
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
