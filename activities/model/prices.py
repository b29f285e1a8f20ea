"""What a call cost in US dollars, by the alias's own prices or the public list that `genai-prices` ships."""

import genai_prices

from activities.model.endpoints import OPENAI_URL, Endpoint
from contracts.model import Usage

MILLION = 1_000_000


def priced(usage: Usage, endpoint: Endpoint) -> Usage:
    """The usage with its cost; counted as unpriced when nobody knows the price."""
    if usage.unpriced:  # without tokens there is nothing to price
        return usage
    if endpoint.prices is not None:
        sent, received = endpoint.prices
        cost = (usage.input_tokens * sent + usage.output_tokens * received) / MILLION
        return usage.model_copy(update={"cost": cost})
    tokens = genai_prices.Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    try:
        if endpoint.url == OPENAI_URL:
            price = genai_prices.calc_price(tokens, model_ref=endpoint.model, provider_id="openai")
        else:
            price = genai_prices.calc_price(tokens, model_ref=endpoint.model, provider_api_url=endpoint.url)
    except LookupError:
        return usage.model_copy(update={"unpriced": 1})
    return usage.model_copy(update={"cost": float(price.total_price)})
