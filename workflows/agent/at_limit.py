"""What becomes of an agent at a limit: it stops, a cheaper model answers for the rest, or people raise the limit."""

from math import ceil

from pydantic import ValidationError
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import workflows.agent.leases as leases
    from contracts.approval import Approve
    from contracts.base import LONGEST
    from contracts.errors import LimitReached
    from contracts.process import AskPeople, Budget, CheaperModel, Limits
    from workflows.agent.agent import Agent
    from workflows.agent.limits import Reservation, Shortage, enlarge, last_said, reserve
    from workflows.agent.people import ask_people

EXTRA = 0.25
"""Of the limits, for the cheaper model to come to an end with."""


MORE_SCHEMA = {**Budget.model_json_schema(), "minProperties": 1}
"""Of what people may write in place of as much again: `{"turns": 5}` gives it five turns more."""


async def reserved(agent: Agent, longer: int | None = None) -> Reservation:
    """What the next call may use; longer limits, or a longer lease, where there was no room for it.

    Raises:
        LimitReached: there is none, and nobody gives more.
    """
    while isinstance(found := reserve(agent, longer), Shortage):
        await make_room(agent, found)
    if agent.lease is None:
        return found
    return await leases.within(agent, found)


async def make_room(agent: Agent, short: Shortage) -> None:
    """Raises:
    LimitReached: the policy is to stop, or it gives no more.
    """
    policy = agent.allowed.at_limit
    if isinstance(policy, CheaperModel) and not agent.models and short.limit != "time":
        agent.models = (policy.model,)
        enlarge(agent, _added(agent.allowed, _part(agent.request.limits, EXTRA)))
        agent.note("limit", f"{short.used}; {policy.model} answers from here on, with a quarter of the limits on top")
    elif isinstance(policy, AskPeople):
        await _ask(agent, policy.ask, short)
    else:
        raise short.error(agent)


async def _ask(agent: Agent, approve: Approve, short: Shortage) -> None:
    """Have people raise the limits: by as much again, or by what they edit it to.

    Raises:
        LimitReached: they said no.
    """
    name, limits = agent.request.agent, agent.request.limits
    more = Budget.model_validate({limit: getattr(limits, limit) for limit in Budget.model_fields})
    answer = await ask_people(
        agent,
        title=f"{name} is at its limit: {short.used}. May it have as much again?",
        approve=approve,
        show={"used": short.used, "last_said": last_said(agent)},
        subject={"agent": name, "more": more.model_dump(mode="json", exclude_none=True)},
        edits=MORE_SCHEMA,
    )
    if answer.outcome == "rejected":
        stopped = short.error(agent)
        said = f": {answer.comment}" if answer.comment else ""
        raise LimitReached(f"{stopped}; {answer.by or 'nobody'} gave it no more{said}", stopped.detail)
    try:
        more = more if answer.edits is None else Budget.model_validate(answer.edits)
    except ValidationError as error:
        agent.note("limit", f"what {answer.by} wrote is no amount, so it is asked again: {error}")
        return
    enlarge(agent, _added(agent.allowed, more))
    given = ", ".join(f"{limit} {amount}" for limit, amount in more.model_dump(mode="json", exclude_none=True).items())
    agent.note("limit", f"{short.used}; {answer.by} gave it more: {given}")


def _part(limits: Limits, part: float) -> Budget:
    return Budget(
        turns=ceil(limits.turns * part),
        tokens=None if limits.tokens is None else ceil(limits.tokens * part),
        cost=None if limits.cost is None else limits.cost * part,
    )


def _added(limits: Limits, more: Budget) -> Limits:
    """The limits with these on top. What has no limit gets none."""
    changes = {
        name: getattr(limits, name) + extra
        for name in ("turns", "tokens", "cost", "time")
        if (extra := getattr(more, name)) is not None and getattr(limits, name) is not None
    }
    if "time" in changes:
        changes["time"] = min(changes["time"], LONGEST)
    return limits.model_copy(update=changes)
