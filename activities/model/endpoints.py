"""Which endpoint answers for a model alias, and what the screen says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from activities.model.limiter import NO_RATES, Rates
from contracts.errors import ModelFailed
from contracts.settings import (
    DEFAULT_MODEL,
    LONGEST_ANSWER,
    OPENAI_URL,
    AnswerBy,
    ModelAlias,
    ModelApi,
    all_by_script,
    without_credentials,
)

NO_KEY = "not-needed"
"""Local servers take any key, and the client insists on one."""


@dataclass(frozen=True)
class Endpoint:
    """`key_setting`: the variable to mend when the endpoint refuses the key."""

    alias: str
    model: str
    url: str
    api: ModelApi
    key: str
    key_setting: str
    prices: tuple[float, float] | None = None
    stream: bool = True
    answer_by: AnswerBy | None = None
    cap_field: str = "max_completion_tokens"
    rates: Rates = NO_RATES
    window: int | None = None
    max_output: int | None = None
    timeout: timedelta = LONGEST_ANSWER
    probe_every: timedelta = timedelta(seconds=8)

    @property
    def shown_url(self) -> str:
        return without_credentials(self.url)

    def cap(self, asked: int | None) -> int | None:
        """Tokens of an answer: what is asked for, and never more than the model gives."""
        return min((cap for cap in (asked, self.max_output) if cap is not None), default=None)

    def __str__(self) -> str:
        """As it may be shown: the URL without credentials or query."""
        return f"{self.model} at {self.shown_url}"


def resolve(
    name: str, aliases: Mapping[str, ModelAlias], environment: Mapping[str, str], api: ModelApi | None
) -> Endpoint | None:
    """The endpoint of an alias; None when the rehearsal model answers.

    Raises:
        ModelFailed: there is no such alias, or its key is not set.
    """
    alias = aliases.get(name)
    if alias is None and name != "default":
        known = ", ".join(sorted({*aliases, "default"}))
        raise ModelFailed(f"there is no model alias {name!r}; there are {known}; add it to [models] in surefoot.toml")
    alias = alias or ModelAlias()
    if all_by_script(aliases, environment):
        return None
    url = alias.base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
    key = (environment.get(alias.key_env) or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelFailed(f"model {name}: {alias.key_env} holds signs that no API key has; set it anew")
    if not key and url == OPENAI_URL:
        raise ModelFailed(f"model {name}: no API key; set {alias.key_env}")
    return Endpoint(
        alias=name,
        model=alias.model or environment.get("OPENAI_MODEL") or DEFAULT_MODEL,
        url=url.rstrip("/"),
        api=alias.api or api or ("responses" if url == OPENAI_URL else "chat"),
        key=key or NO_KEY,
        key_setting=alias.key_env,
        prices=_prices(alias),
        stream=alias.stream,
        answer_by=alias.answer_by,
        cap_field=alias.cap_field,
        rates=Rates(alias.requests_per_minute, alias.tokens_per_minute),
        window=alias.window,
        max_output=alias.max_output,
        timeout=alias.timeout,
        probe_every=alias.probe_every,
    )


def _prices(alias: ModelAlias) -> tuple[float, float] | None:
    if alias.input_price is None and alias.output_price is None:
        return None
    return alias.input_price or 0.0, alias.output_price or 0.0
