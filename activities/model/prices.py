"""What a call cost in US dollars, by the alias's own prices or the public list that `genai-prices` ships, and what the
list knows of a model's window."""

import genai_prices

from activities.model.endpoints import Endpoint
from contracts.model import Usage
from contracts.settings import OPENAI_URL

MILLION = 1_000_000


def priced(usage: Usage, endpoint: Endpoint) -> Usage:
    """The usage with its cost; counted as unpriced when nobody knows the price."""
    if usage.unpriced:  # without tokens there is nothing to price
        return usage
    if endpoint.prices is not None:
        sent, received = endpoint.prices
        cost = (usage.input_tokens * sent + usage.output_tokens * received) / MILLION
        return usage.model_copy(update={"cost": cost})
    price = _listed(genai_prices.Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens), endpoint)
    return usage.model_copy(update={"unpriced": 1} if price is None else {"cost": float(price.total_price)})


def window_of(endpoint: Endpoint) -> int | None:
    """Tokens that the model takes: as the alias says, else the list."""
    if endpoint.window is not None:
        return endpoint.window
    listed = _listed(genai_prices.Usage(), endpoint)
    return None if listed is None else listed.model.context_window


def _listed(used: genai_prices.Usage, endpoint: Endpoint) -> genai_prices.types.PriceCalculation | None:
    """What the public list says of a model at its provider."""
    try:
        if endpoint.url == OPENAI_URL:
            return genai_prices.calc_price(used, model_ref=endpoint.model, provider_id="openai")
        return genai_prices.calc_price(used, model_ref=endpoint.model, provider_api_url=endpoint.url)
    except LookupError:
        return None
