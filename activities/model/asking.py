"""Asking one endpoint one question: put in the form that suits it, received, read."""

from collections.abc import Mapping, Sequence
from typing import Any

import openai

from activities.model import chat, responses
from activities.model.endpoints import OPENAI_URL, Endpoint
from activities.model.errors import Complained, Malformed
from activities.model.finish import Finish, is_json, read_answer
from activities.model.question import Choice, Question, ReasonEnded
from activities.model.speech import Speaker
from activities.model.stream import receive
from contracts.messages import AssistantMessage, Brief, Message, UserMessage
from contracts.model import ModelRequest, Usage


async def ask(
    client: openai.AsyncOpenAI,
    endpoint: Endpoint,
    brief: Brief,
    messages: Sequence[Message],
    request: ModelRequest,
    speaker: Speaker,
) -> tuple[AssistantMessage, ReasonEnded, Usage]:
    """The endpoint's message, why it ended, and what it used.

    Raises:
        openai.OpenAIError: there is no answer.
        TimeoutError: it stalled.
        Complained: the answer holds an error.
        Malformed: it is no answer of the API.
    """
    api = chat if endpoint.api == "chat" else responses
    if request.purpose == "summary":
        brief = brief.model_copy(update={"output": None})
    by_finish = request.purpose == "turn" and answers_by_finish(endpoint, brief) and not _cannot_call(brief, messages)
    finish = Finish.of(brief) if by_finish else None
    choice: Choice = "auto" if request.purpose == "turn" else "none"
    cap = request.max_output_tokens
    asked = Question(brief, messages, endpoint.model, cap, endpoint.cap_field, choice, endpoint.stream)
    if finish is not None:
        asked = asked.about(finish.offered(brief), finish.told(messages), "required")
    speaker.begin(endpoint.model)
    data: Any = await receive(client, api.PATH, api.body(asked), api.Assembly(speaker))
    if not isinstance(data, Mapping):
        raise Malformed(f"not JSON: {str(data)[:200]}")
    if data.get("error"):
        raise Complained(data["error"])
    said, ended, usage = api.answer(data, asked.brief)
    if finish is not None:
        said, ended = finish.heard(said, ended)
    if brief.output is not None and ended == "stop":
        said = said.model_copy(update={"content": read_answer(said.content)})
    return said, ended, usage


def answers_by_finish(endpoint: Endpoint, brief: Brief) -> bool:
    """Whether the answer comes as a call of the tool `finish`: where the alias says so, else where an agent has both
    tools and a schema, unless the endpoint is OpenAI's own. Others take either tools or a schema, or leave the schema
    unheeded once there are tools. An agent without both needs no tool to end its work."""
    if endpoint.answer_by is not None:
        return endpoint.answer_by == "finish" and (brief.output is not None or bool(brief.tools))
    return endpoint.url != OPENAI_URL and bool(brief.tools) and brief.output is not None


def _cannot_call(brief: Brief, messages: Sequence[Message]) -> bool:
    """Whether the model was told just now that what it said instead of a call is no answer. An endpoint that heeds no
    required call, as those do whose model knows no tools, may still heed a schema."""
    if brief.output is None or len(messages) < 2 or not isinstance(messages[-1], UserMessage):
        return False
    said = messages[-2]
    return isinstance(said, AssistantMessage) and not said.tool_calls and not is_json(said.content)
