"""Settings that activities are given: which model an alias stands for. Reading them is `runtime/settings.py`."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from contracts.base import Contract, Duration, format_duration

ModelApi = Literal["chat", "responses"]
AnswerBy = Literal["schema", "finish"]

LONGEST_ANSWER = timedelta(minutes=9)
"""An endpoint is given no longer: below the workflow's timeout of a model call, so that a slow endpoint is named."""

SHORTEST_PROBE, LONGEST_PROBE = timedelta(seconds=1), timedelta(minutes=10)

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class ModelAlias(Contract):
    """What an agent's `model: NAME` stands for. What is left out comes from OPENAI_MODEL and OPENAI_BASE_URL.

    Prices in US dollars per million tokens; without them the public list of prices is used. `window` and `max_output`
    in tokens. A worker keeps to `requests_per_minute` and `tokens_per_minute` by itself.
    """

    model: str | None = Field(default=None, min_length=1)
    base_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+")
    key_env: str = Field(default="OPENAI_API_KEY", description="the variable that holds the API key")
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
    input_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    output_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1, description="in and out")
    window: int | None = Field(default=None, ge=1, description="tokens the model takes, its answer included")
    max_output: int | None = Field(default=None, ge=1, description="tokens of one answer, at most")
    timeout: Duration = Field(default=LONGEST_ANSWER, description="for one answer")
    probe_every: Duration = Field(
        default=timedelta(seconds=8), description="the longest pause between probes of a model that is down"
    )

    @field_validator("key_env")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        if not _VARIABLE.fullmatch(value):
            raise ValueError("must be a variable's name in capitals; the key itself belongs into that variable")
        return value

    @field_validator("timeout")
    @classmethod
    def _within_bounds(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= LONGEST_ANSWER:
            raise ValueError(f"must be more than 0s and at most {format_duration(LONGEST_ANSWER)}")
        return value

    @field_validator("probe_every")
    @classmethod
    def _often_enough(cls, value: timedelta) -> timedelta:
        if not SHORTEST_PROBE <= value <= LONGEST_PROBE:
            bounds = f"{format_duration(SHORTEST_PROBE)} to {format_duration(LONGEST_PROBE)}"
            raise ValueError(f"must be from {bounds}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for larger in ("window", "tokens_per_minute"):
            bound: int | None = getattr(self, larger)
            if self.max_output is not None and bound is not None and self.max_output >= bound:
                raise ValueError(f"max_output {self.max_output} must be below {larger}, which is {bound}")
        return self


OPENAI_URL = "https://api.openai.com/v1"

DEFAULT_MODEL = "gpt-5.4-mini"
"""Of the alias `default`, when neither settings nor OPENAI_MODEL name one."""


def answers_by_script(alias: ModelAlias, environment: Mapping[str, str]) -> bool:
    """Whether the rehearsal model answers: neither the alias nor the environment names an endpoint or a key."""
    return not (alias.base_url or environment.get("OPENAI_BASE_URL") or environment.get(alias.key_env))


def all_by_script(aliases: Mapping[str, ModelAlias], environment: Mapping[str, str]) -> bool:
    """Whether no endpoint is asked at all. A script never stands in for one model while another is set up: a run would
    be half real and not look it."""
    return all(answers_by_script(each, environment) for each in (ModelAlias(), *aliases.values()))


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
