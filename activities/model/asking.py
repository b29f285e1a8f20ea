"""Asking one endpoint one question: put in the form that suits it, received, read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import openai
from pydantic_core import to_json

from activities.model import chat, responses
from activities.model.affordable import billed
from activities.model.echo import sendable
from activities.model.endpoints import Endpoint
from activities.model.errors import Complained, Malformed
from activities.model.finish import Finish, is_json, read_answer
from activities.model.question import Question, ReasonEnded
from activities.model.speech import Speaker
from activities.model.stream import receive
from contracts.messages import AssistantMessage, Brief, Message, UserMessage
from contracts.model import ModelRequest, Usage
from contracts.settings import OPENAI_URL


@dataclass(frozen=True)
class Asking:
    """A question as one endpoint is asked it. `finish`: the tool that carries the answer, where one does."""

    endpoint: Endpoint
    question: Question
    output: Mapping[str, Any] | None
    finish: Finish | None

    @classmethod
    def of(
        cls, endpoint: Endpoint, brief: Brief, messages: Sequence[Message], request: ModelRequest, cap: int | None
    ) -> "Asking":
        """`cap`: output tokens, at most."""
        messages = sendable(messages, [tool.name for tool in brief.tools])
        made = Question(brief, messages, endpoint.model, cap, endpoint.cap_field, stream=endpoint.stream)
        if request.purpose == "summary":
            return cls(endpoint, made.about(_free(brief), messages, "none"), None, None)
        if not answers_by_finish(endpoint, brief) or _cannot_call(brief, messages):
            return cls(endpoint, made, brief.output, None)
        finish = Finish.of(brief)
        made = made.about(finish.offered(brief), finish.told(messages), "required")
        return cls(endpoint, made, brief.output, finish)

    def size(self) -> int:
        """Bytes of the request as JSON."""
        return len(to_json(self._api.body(self.question)))

    async def put(
        self, client: openai.AsyncOpenAI, cap: int | None, speaker: Speaker
    ) -> tuple[AssistantMessage, ReasonEnded, Usage]:
        """The endpoint's message of at most `cap` tokens, why it ended, and what it used.

        Raises:
            openai.OpenAIError: there is no answer.
            Complained: the answer holds an error.
            Malformed: it is no answer of the API.
        """
        api = self._api
        speaker.begin(self.endpoint.model)
        data: Any = await receive(client, api.PATH, api.body(replace(self.question, cap=cap)), api.Assembly(speaker))
        if not isinstance(data, Mapping):
            raise Malformed(f"not JSON: {str(data)[:200]}")
        Complained.look_at(data)
        try:
            said, ended, usage = api.answer(data, self.question.brief)
        except Malformed as error:
            raise Malformed(str(error), billed(data, self.endpoint)) from error
        if self.finish is not None:
            said, ended = self.finish.heard(said, ended)
        if self.output is not None and ended == "stop":
            said = said.model_copy(update={"content": read_answer(said.content)})
        return said, ended, usage

    @property
    def _api(self) -> Any:
        return chat if self.endpoint.api == "chat" else responses


def answers_by_finish(endpoint: Endpoint, brief: Brief) -> bool:
    """Whether the answer comes as a call of the tool `finish`: where the alias says so, else where an agent has both
    tools and a schema, unless the endpoint is OpenAI's own. Others take either tools or a schema, or leave the schema
    unheeded once there are tools. An agent without both needs no tool to end its work."""
    if endpoint.answer_by is not None:
        return endpoint.answer_by == "finish" and (brief.output is not None or bool(brief.tools))
    return endpoint.url != OPENAI_URL and bool(brief.tools) and brief.output is not None


def _free(brief: Brief) -> Brief:
    return brief.model_copy(update={"output": None})


def _cannot_call(brief: Brief, messages: Sequence[Message]) -> bool:
    """Whether the model was told just now that what it said instead of a call is no answer. An endpoint that heeds no
    required call, as those do whose model knows no tools, may still heed a schema."""
    if brief.output is None or len(messages) < 2 or not isinstance(messages[-1], UserMessage):
        return False
    said = messages[-2]
    return isinstance(said, AssistantMessage) and not said.tool_calls and not is_json(said.content)
