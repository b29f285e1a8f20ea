"""Settings that activities are given: which model an alias stands for. Reading them is `runtime/settings.py`."""

from typing import Literal

from pydantic import Field

from contracts.base import Contract

ModelApi = Literal["chat", "responses"]


class ModelAlias(Contract):
    """What an agent's `model: NAME` stands for. What is left out comes from OPENAI_MODEL and OPENAI_BASE_URL.

    Prices in US dollars per million tokens; without them the public list of prices is used.
    """

    model: str | None = None
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    key_env: str = Field(default="OPENAI_API_KEY", min_length=1, description="the variable that holds the API key")
    api: ModelApi | None = Field(default=None, description="of the endpoint; by default responses, chat with a base_url")
    input_price: float | None = Field(default=None, ge=0)
    output_price: float | None = Field(default=None, ge=0)
