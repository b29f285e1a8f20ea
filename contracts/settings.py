"""Settings that activities are given: which model an alias stands for. Reading them is `runtime/settings.py`."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from contracts.base import Contract

ModelApi = Literal["chat", "responses"]
AnswerBy = Literal["schema", "finish"]


class ModelAlias(Contract):
    """What an agent's `model: NAME` stands for. What is left out comes from OPENAI_MODEL and OPENAI_BASE_URL.

    Prices in US dollars per million tokens; without them the public list of prices is used.
    """

    model: str | None = None
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    key_env: str = Field(default="OPENAI_API_KEY", min_length=1, description="the variable that holds the API key")
    api: ModelApi | None = Field(
        default=None, description="of the endpoint; by default responses, chat with a base_url"
    )
    stream: bool = Field(default=True, description="answers are sent while they are made")
    answer_by: AnswerBy | None = Field(
        default=None,
        description="how an answer is held to its schema: the endpoint's response format, or a tool `finish` that "
        "carries it; by default schema at OpenAI and for agents without tools, else finish",
    )
    cap_field: Literal["max_completion_tokens", "max_tokens"] = Field(
        default="max_completion_tokens", description="what Chat Completions calls the most output tokens"
    )
    input_price: float | None = Field(default=None, ge=0)
    output_price: float | None = Field(default=None, ge=0)


DEFAULT_MODEL = "gpt-5.4-mini"
"""Of the alias `default`, when neither settings nor OPENAI_MODEL name one."""


def answers_by_script(alias: ModelAlias, environment: Mapping[str, str]) -> bool:
    """Whether the rehearsal model answers: neither the alias nor the environment names an endpoint or a key."""
    return not (alias.base_url or environment.get("OPENAI_BASE_URL") or environment.get(alias.key_env))


def describe_model(aliases: Mapping[str, ModelAlias], environment: Mapping[str, str]) -> str:
    """What answers for the alias `default`, for people."""
    alias = aliases.get("default", ModelAlias())
    if answers_by_script(alias, environment):
        return "rehearsal model (answers are scripted; set OPENAI_API_KEY or OPENAI_BASE_URL for a real one)"
    model = alias.model or environment.get("OPENAI_MODEL") or DEFAULT_MODEL
    url = alias.base_url or environment.get("OPENAI_BASE_URL")
    return f"{model} at {without_credentials(url) if url else 'OpenAI'}"


def without_credentials(url: str) -> str:
    """The URL as it may be shown: no user, password or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
