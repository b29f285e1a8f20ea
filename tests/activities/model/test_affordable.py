"""What a call may still use, at an endpoint's price: whatever was spent before, no call can overrun what is left."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.model.affordable import OverLimit, billed, cap_within
from activities.model.endpoints import Endpoint
from activities.model.prices import priced
from contracts.model import LEAST_ANSWER, ModelRequest, Usage

tokens = st.integers(0, 100_000)
prices = st.none() | st.tuples(st.floats(0, 50), st.floats(0, 200))


def endpoint(price: tuple[float, float] | None) -> Endpoint:
    return Endpoint(
        alias="default",
        model="no-such-model",
        url="http://127.0.0.1:9/v1",
        api="chat",
        key="k",
        key_setting="K",
        prices=price,
    )


def request(**bounds: object) -> ModelRequest:
    return ModelRequest.model_validate({"brief": "b", "head": "b", "run": "r", "step": "s", "turn": 1, **bounds})


@settings(deadline=None)
@given(sent=tokens, left=tokens, spent=tokens, money=st.floats(0.000001, 2), paid=st.floats(0, 2), price=prices)
def test_an_answer_of_the_granted_length_never_overruns_what_is_left(
    sent: int, left: int, spent: int, money: float, paid: float, price: tuple[float, float] | None
) -> None:
    before = Usage(input_tokens=spent, cost=paid)
    asked = request(max_output_tokens=8_192, max_tokens=left, max_cost=money, input_tokens=sent)
    try:
        cap = cap_within(asked, endpoint(price), before)
    except OverLimit:
        return
    assert cap is not None
    assert LEAST_ANSWER <= cap <= 8_192
    answered = before + priced(Usage(input_tokens=sent, output_tokens=cap), endpoint(price))
    assert answered.tokens <= left
    assert price is None or answered.cost <= money + 1e-9


def test_without_limits_an_answer_is_not_capped() -> None:
    assert cap_within(request(), endpoint((1, 10)), Usage()) is None


def test_what_has_no_room_says_which_limit_and_what_is_left() -> None:
    with pytest.raises(OverLimit, match="40 tokens are left, and the turn sends about 20 tokens") as raised:
        cap_within(request(max_tokens=100, input_tokens=20), endpoint(None), Usage(input_tokens=60))
    assert raised.value.limit == "tokens"
    with pytest.raises(OverLimit, match="USD are left for no-such-model"):
        cap_within(request(max_cost=0.0001, input_tokens=20), endpoint((1, 10)), Usage())


@pytest.mark.parametrize("usage", [None, "much", {"prompt_tokens": None}, {}])
def test_an_unreadable_answer_that_names_no_usage_counts_as_none(usage: object) -> None:
    assert billed({"usage": usage}, endpoint((1, 10))) == Usage()


def test_an_unreadable_answer_is_paid_for_as_it_says() -> None:
    said = {"usage": {"input_tokens": 1_000, "output_tokens": 100}}
    assert billed(said, endpoint((1, 10))) == Usage(input_tokens=1_000, output_tokens=100, cost=0.002)
