"""Checking a plan that was written for a goal: an activity, so that a run replays the same under stricter rules."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import activity

from contracts.activities import CHECK_PLAN
from contracts.plans import CheckedPlan, CheckPlan
from language import plan


def check_plan_activity() -> Callable[[CheckPlan], Awaitable[CheckedPlan]]:
    @activity.defn(name=CHECK_PLAN.name)
    async def check(request: CheckPlan) -> CheckedPlan:
        return await asyncio.to_thread(plan.check_plan, request)

    return check
