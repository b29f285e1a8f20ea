"""What a call may still use of its agent's limits, at an endpoint's own price, after attempts that were paid for."""

from collections.abc import Mapping
from typing import Any

from activities.model.endpoints import Endpoint
from activities.model.prices import priced
from activities.model.question import token_count
from contracts.model import LEAST_ANSWER, ModelRequest, Usage

_SAMPLE = 1_000_000


class OverLimit(Exception):
    """The call has no room in a limit of its agent: `tokens` or `cost`. `needs`: so much of it, at least."""

    def __init__(self, limit: str, message: str, needs: float) -> None:
        super().__init__(message)
        self.limit, self.needs = limit, needs


def cap_within(request: ModelRequest, endpoint: Endpoint, spent: Usage) -> int | None:
    """Tokens that the answer may have. `spent`: by attempts before this one. Without a known price, money is no bound.

    Raises:
        OverLimit: there is not enough left for an answer.
    """
    cap = request.max_output_tokens
    if request.max_tokens is not None:
        left = request.max_tokens - spent.tokens
        room = left - request.input_tokens
        cap = _capped(cap, room, "tokens", f"{left} tokens are left", request, request.input_tokens + LEAST_ANSWER)
    if request.max_cost is not None and (price := _price(endpoint, request.input_tokens)) is not None:
        sent, each = price
        money = request.max_cost - spent.cost
        affordable = int((money - sent) / each) if each else (LEAST_ANSWER if money >= sent else 0)
        if each or money < sent:
            said = f"{money:.6f} USD are left for {endpoint.model}"
            cap = _capped(cap, affordable, "cost", said, request, sent + each * (LEAST_ANSWER + 1))
    return cap


def billed(data: Mapping[str, Any], endpoint: Endpoint) -> Usage:
    """What an answer that cannot be read cost all the same, as far as it says."""
    said = data.get("usage")
    counts = said if isinstance(said, Mapping) else {}
    sent, wrote = (
        next((found for name in names if (found := token_count(counts.get(name)))), 0)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    return priced(Usage(input_tokens=sent, output_tokens=wrote), endpoint) if sent or wrote else Usage()


def _capped(cap: int | None, affordable: int, limit: str, left: str, request: ModelRequest, needs: float) -> int:
    if affordable < LEAST_ANSWER:
        raise OverLimit(limit, f"{left}, and the turn sends about {request.input_tokens} tokens", needs)
    return affordable if cap is None else min(cap, affordable)


def _price(endpoint: Endpoint, input_tokens: int) -> tuple[float, float] | None:
    """US dollars of the input, and of one token of output; None when nobody knows."""
    sent = priced(Usage(input_tokens=input_tokens), endpoint)
    both = priced(Usage(input_tokens=input_tokens, output_tokens=_SAMPLE), endpoint)
    return None if both.unpriced else (sent.cost, (both.cost - sent.cost) / _SAMPLE)
