"""An agent's answer: held to its schema, sent back with what is wrong in it."""

from pydantic_core import from_json
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Json
    from contracts.errors import OutputInvalid
    from contracts.messages import AssistantMessage, UserMessage
    from contracts.model import ModelReply
    from language.schema import violations
    from workflows.agent.agent import Agent

MAX_CORRECTIONS = 2
"""Turns an agent gets to mend an answer that does not fit its schema."""


def problems(agent: Agent, message: AssistantMessage) -> str | None:
    """What keeps an answer from fitting its schema, for the model to read."""
    schema = agent.request.output
    if schema is None:
        return None if message.content.strip() else "The answer is empty."
    try:
        value = from_json(message.content)
    except ValueError as error:
        return f"The answer is not JSON: {error}. Answer with the JSON value alone."
    wrong = violations(schema, value)
    if not wrong:
        return None
    return f"The answer does not fit its schema: {'; '.join(wrong)}. Answer again, with the JSON value alone."


def answer(agent: Agent, message: AssistantMessage) -> Json:
    return message.content if agent.request.output is None else from_json(message.content)


def correct(agent: Agent, wrong: str, reply: ModelReply) -> None:
    """Raises:
    OutputInvalid: it had its corrections already.
    """
    if agent.corrections == MAX_CORRECTIONS:
        raise OutputInvalid(
            f"{reply.model} gave no answer that fits, also after {MAX_CORRECTIONS} corrections: {wrong}",
            {"answer": reply.message.content[:500]},
        )
    agent.corrections += 1
    agent.conversation.add(UserMessage(content=wrong), stored=False)
