"""What stands before an endpoint: the operator's word, the quota, the breaker, the limits.

Whoever may not pass is told when to come back. Waits of a moment are waited here; longer ones are the workflow's, so
that no place of the worker is taken up by waiting.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from activities.breaker import Breaker, BreakerOpen, BreakerRules
from activities.model.endpoints import Endpoint
from activities.model.errors import Fault
from activities.model.limiter import Limiter
from contracts.board import Force, ModelState

RULES = BreakerRules(at_least=3, most=20, failure_rate=0.5, slow_rate=0.8, pause=2.0, max_pause=8.0, probes=2)
"""Of a model's breaker: opened before one run alone has used up its attempts, closed seconds after healing."""

QUOTA_RULES = BreakerRules(pause=300.0, max_pause=300.0, probes=1)
"""Of a model whose quota is used up: asked once every five minutes whether it was filled up."""

OUTPUT_GUESS = 2_000
"""Tokens reserved for an answer that has no cap, or the largest answer so far if that was larger."""

PATIENCE = 2.0
"""Seconds that are waited here."""

LOOK_AGAIN = 0.05

FORCED_PAUSE = 5.0
"""Seconds after which to look again whether an operator's word still holds."""

WOKEN_PER_SECOND = 10
"""So many runs that wait for one model come back in a second, or all within `LONGEST_SPREAD`."""

LONGEST_SPREAD = 20.0
SEEN_FOR = 60.0


class Held(Exception):
    """Nothing was asked."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass
class Passage:
    """One call that was let through. What came of it is left here before the end; nothing says nothing of the endpoint.

    `probe`: its outcome decides about an open breaker. `used`: the tokens it really took, in and out.
    """

    probe: bool
    cap: int | None
    answered: bool = False
    fault: Fault | None = None
    used: tuple[int, int] | None = None


@dataclass
class _Model:
    """What is known of one model at one provider, through whichever aliases it is asked. `forced`: what an operator
    said last of an alias."""

    endpoint: Endpoint
    breaker: Breaker
    quota: Breaker
    limiter: Limiter
    largest_answer: int = OUTPUT_GUESS
    waiting: dict[str, float] = field(default_factory=dict)
    rests_until: float = 0.0
    under_way: int = 0
    forced: dict[str, Force] = field(default_factory=dict)


class Gate:
    """Of one worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._models: dict[tuple[str, str, str], _Model] = {}
        self._aliases: dict[str, Endpoint] = {}

    @asynccontextmanager
    async def passage(
        self, endpoint: Endpoint, caller: str, force: Force | None, sent: Callable[[], int], cap: int | None
    ) -> AsyncIterator[Passage]:
        """The block asks the endpoint.

        Args:
            caller: tells calls apart that wait; the same for every attempt of one.
            sent: the tokens of the request, as an estimate.
            cap: tokens of the answer, at most.

        Raises:
            Held: it may not be asked now.
        """
        model = self._model(endpoint)
        self._obey(model, endpoint.alias, force)
        made = await self._enter(model, endpoint, caller, sent, cap)
        began = self._clock()
        model.under_way += 1
        try:
            yield made
        finally:
            model.under_way -= 1
            self._leave(model, endpoint, caller, made, self._clock() - began)

    def states(self) -> tuple[ModelState, ...]:
        """How everything stands that was asked, by alias."""
        return tuple(self._state(alias, endpoint) for alias, endpoint in sorted(self._aliases.items()))

    def _model(self, endpoint: Endpoint) -> _Model:
        self._aliases[endpoint.alias] = endpoint
        key = (endpoint.url, endpoint.key_setting, endpoint.model)
        if key not in self._models:
            answer, longest = endpoint.timeout.total_seconds(), endpoint.probe_every.total_seconds()
            # Long enough for one run that times out again and again to be noticed as an outage.
            window = max(60.0, 4 * answer)
            pause = min(RULES.pause, longest)
            rules = replace(RULES, slow=answer / 2, window=window, pause=pause, max_pause=longest)
            self._models[key] = _Model(
                endpoint,
                Breaker(str(endpoint), rules, self._clock),
                Breaker(str(endpoint), QUOTA_RULES, self._clock),
                Limiter(self._clock),
            )
        return self._models[key]

    def _obey(self, model: _Model, alias: str, force: Force | None) -> None:
        """Each word of an operator is heard once: breakers start afresh."""
        before = model.forced.get(alias)
        if force is not None and (before is None or force.at > before.at):
            model.forced[alias] = force
            model.rests_until = 0.0
            model.breaker.force(None)
            model.quota.force(None)

    async def _enter(
        self,
        model: _Model,
        endpoint: Endpoint,
        caller: str,
        sent: Callable[[], int],
        cap: int | None,
    ) -> Passage:
        forced = model.forced.get(endpoint.alias)
        if forced is not None and forced.state == "open":
            why = f"{forced.by} opened its breaker" + (f" ({forced.reason})" if forced.reason else "")
            raise self._held(model, caller, FORCED_PAUSE, f"{endpoint} is not asked: {why}")
        is_closed = forced is not None and forced.state == "close"
        rest = model.rests_until - self._clock()
        if rest > 0 and not is_closed:
            raise self._held(model, caller, rest, f"{endpoint} is busy and said when to ask again: in {rest:.0f} s")
        if not is_closed:
            await self._until_sure(model, endpoint, caller)
        cap, tokens = self._reservation(model, endpoint, sent, cap)
        while wait := model.limiter.take(caller, tokens, endpoint.rates):
            if wait > PATIENCE:
                limits = "requests" if endpoint.rates.tokens is None else "requests and tokens"
                why = f"its {limits} of this minute are used up (models.{endpoint.alias})"
                raise self._held(model, caller, wait, f"{endpoint} is not asked: {why}", spread=False)
            await asyncio.sleep(wait)
        if is_closed:
            return Passage(probe=False, cap=cap)
        try:
            return Passage(probe=self._admitted(model, endpoint), cap=cap)
        except BreakerOpen as refused:
            model.limiter.withdraw(caller)
            raise self._held(model, caller, refused.after, str(refused)) from refused
        except Held:
            model.limiter.withdraw(caller)
            raise

    async def _until_sure(self, model: _Model, endpoint: Endpoint, caller: str) -> None:
        """Few ask at once while nobody knows that it answers, so that an outage is found by few calls."""
        waits = round(PATIENCE / LOOK_AGAIN)
        while model.breaker.unsure and model.under_way >= RULES.at_least:
            if not waits:
                raise self._held(model, caller, PATIENCE, f"{endpoint} has still to give its first answer")
            waits -= 1
            await asyncio.sleep(LOOK_AGAIN)

    def _reservation(
        self, model: _Model, endpoint: Endpoint, sent: Callable[[], int], cap: int | None
    ) -> tuple[int | None, int]:
        """The cap of the answer, and the tokens to reserve for the call."""
        limit = endpoint.rates.tokens
        if limit is None:
            return cap, 0
        needed = sent()
        if needed >= limit:
            why = f"about {needed} tokens are more than models.{endpoint.alias}.tokens_per_minute allows ({limit})"
            raise Held(Fault("too_long", f"{endpoint} is not asked: {why}"))
        if cap is None:
            return None, min(needed + model.largest_answer, limit)
        cap = min(cap, limit - needed)
        return cap, needed + cap

    def _admitted(self, model: _Model, endpoint: Endpoint) -> bool:
        try:
            model.quota.admit()
        except BreakerOpen as refused:
            mend = f"fill it up, then `starter.py models {endpoint.alias} auto`"
            why = model.quota.view().why
            raise Held(Fault("spent", f"{endpoint} is not asked for {refused.after:.0f} s: {why}; {mend}")) from refused
        try:
            return model.breaker.admit()
        except BreakerOpen:
            model.quota.record(ok=None)
            raise

    def _held(self, model: _Model, caller: str, wait: float, message: str, *, spread: bool = True) -> Held:
        now = self._clock()
        model.waiting[caller] = now
        if spread:
            model.waiting = {each: at for each, at in model.waiting.items() if at > now - SEEN_FOR}
            wait += random.uniform(0, min(LONGEST_SPREAD, len(model.waiting) / WOKEN_PER_SECOND))  # noqa: S311 - jitter
        return Held(Fault("held", message, timedelta(seconds=wait)))

    def _leave(self, model: _Model, endpoint: Endpoint, caller: str, made: Passage, seconds: float) -> None:
        fault, forced = made.fault, model.forced.get(endpoint.alias)
        model.waiting.pop(caller, None)
        model.limiter.settle(caller, sum(made.used) if made.used else None)
        if made.used:
            model.largest_answer = max(model.largest_answer, made.used[1])
        if fault is not None and fault.kind == "busy" and fault.wait is not None:
            model.rests_until = self._clock() + fault.wait.total_seconds()
        answered = made.answered or (fault is not None and fault.kind == "filtered")
        ok = True if answered else False if fault is not None and fault.broken else None
        if forced is None or forced.state != "close":
            model.breaker.record(ok=ok, seconds=seconds, why=fault.message if fault else "")
        if fault is not None and fault.kind == "spent":
            model.quota.trip(fault.message, QUOTA_RULES.pause)
        else:
            model.quota.record(ok=True if answered else None)

    def _state(self, alias: str, endpoint: Endpoint) -> ModelState:
        model = self._model(endpoint)
        quota = model.quota.view()
        view = model.breaker.view()
        requests, tokens = model.limiter.used()
        spent = quota.state != "closed"
        forced = model.forced.get(alias)
        state = {"open": "open", "close": "closed"}.get(forced.state) if forced else None
        now = self._clock()
        return ModelState.model_validate(
            {
                "alias": alias,
                "model": endpoint.model,
                "url": endpoint.shown_url,
                "state": state or (quota.state if spent else view.state),
                "why": "" if state else quota.why if spent else view.why,
                "after": 0.0 if state else round(quota.after if spent else view.after, 1),
                "calls": view.calls,
                "failures": view.failures,
                "slow": view.slow,
                "probes": view.probes,
                "waiting": sum(at > now - SEEN_FOR for at in model.waiting.values()),
                "requests": requests,
                "tokens": tokens,
            }
        )
