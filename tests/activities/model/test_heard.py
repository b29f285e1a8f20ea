"""Whoever listens is told what came of every question to a model, and whether the same model is asked again."""

import pytest

from activities.model.errors import Fault
from contracts.model import ModelReply
from contracts.settings import ModelAlias
from tests.activities.model.harness import Desk
from tests.endpoint import Endpoint

Told = list[tuple[str, str, bool]]
"""By alias: `reply`, or the kind of the fault; and whether the model is asked again."""


async def told(desk: Desk, *chain: str) -> Told:
    """What is told of one turn, which these models are asked for."""
    heard: Told = []

    def listen(alias: str, answered: ModelReply | Fault, *, again: bool) -> None:
        heard.append((alias, answered.kind if isinstance(answered, Fault) else "reply", again))

    desk.heard = listen
    await desk.restart()
    desk.begin(models=chain)
    if "answers" in chain:
        await desk.ask()
    else:
        await desk.failure()
    return heard


@pytest.mark.parametrize(
    ("status", "code", "kind", "again"),
    [
        (401, "invalid_api_key", "no_access", False),
        (429, "insufficient_quota", "spent", False),
        (400, "", "mistaken", False),
        (400, "tool_use_failed", "slip", True),
        (429, "", "busy", True),
        (500, "", "passing", True),
    ],
)
async def test_of_one_model(desk: Desk, endpoint: Endpoint, status: int, code: str, kind: str, again: bool) -> None:
    endpoint.fail(status, code=code, message="no")
    assert await told(desk, "default") == [("default", kind, again)]


async def test_of_a_chain_each_that_was_asked_in_vain(desk: Desk, endpoint: Endpoint) -> None:
    names = ("busy", "answers")
    desk.aliases = {name: ModelAlias(model=name, base_url=endpoint.url) for name in names}
    desk.aliases = {**desk.aliases, "keyless": ModelAlias(key_env="NOT_SET")}
    endpoint.fail(429, headers={"retry-after": "3600"}, message="come back in an hour")
    endpoint.say("ok")
    found = await told(desk, "keyless", "busy", "answers")
    assert found == [("keyless", "no_access", False), ("busy", "busy", False), ("answers", "reply", False)]
