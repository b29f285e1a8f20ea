"""Whatever operators do in whatever order: what completed never runs again, what was skipped never runs."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError

from contracts.run import ENDED
from tests.workflows.office import Office, Run, open_office

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLAN = """
    process: at-random
    steps:
      a: {tool: do.work}
      b: {tool: do.work, needs: [a]}
      c: {tool: do.work}
      g: {steps: {x: {tool: do.work}, y: {tool: do.work, needs: [x]}}, needs: [c]}
      d: {tool: do.work, needs: [b, g]}
      e: {tool: do.work, for_each: [1, 2], needs: [a]}
"""
STEPS = ("a", "b", "c", "g.x", "g.y", "d", "e[0]", "e[1]")
VALUES: dict[str, Any] = {"amend": {"what": "amended"}, "complete": {"id": "by hand"}}
ACTS = st.tuples(
    st.sampled_from(["retry", "amend", "skip", "complete", "fallback", "pause", "resume", "mend"]),
    st.sampled_from(STEPS),
    st.sampled_from(STEPS),
)


async def act(office: Office, run: Run, action: str, step: str, other: str) -> None:
    """Do it, whether or not it holds."""
    if action == "mend":
        office.broken.discard(step)
        return
    about = "" if action in ("pause", "resume") else step
    value = other if action == "fallback" else VALUES.get(action)
    try:
        await run.repair(about, action, value=value)
    except WorkflowUpdateFailedError:
        return


async def finish(office: Office, run: Run) -> None:
    """Mend everything, and have all that is parked tried again."""
    office.broken.clear()
    while True:
        view = await run.until(lambda view: view.status in (*ENDED, "attention", "waiting"))
        if view.status in ENDED:
            return
        if view.paused is not None:
            await run.repair("", "resume")
        for incident in view.incidents:
            await act(office, run, "retry", incident.step, "")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(broken=st.sets(st.sampled_from(STEPS), min_size=1), acts=st.lists(ACTS, max_size=12))
async def test_what_completed_is_done_once(client: Client, broken: set[str], acts: list[tuple[str, str, str]]) -> None:
    async with open_office(client) as office:
        office.broken = set(broken)
        run = await office.start(PLAN)
        await run.until(lambda view: view.status in ("attention", "completed"))
        for each in acts:
            if (await run.view()).status in ENDED:
                break
            try:
                await act(office, run, *each)
            except Exception as error:  # noqa: BLE001 -- the run may end between the look and the act
                assert "already completed" in str(error) or "has ended" in str(error)  # noqa: PT017
        await finish(office, run)
        try:
            await run.handle.result()
        except WorkflowFailureError as failed:
            raise AssertionError(f"nothing here ends a run: {failed.cause}") from failed
        done = [step for effect, step, _ in office.ledger if effect == "do"]
        assert len(done) == len(set(done)), done
        skipped = {step.id for step in (await run.view()).steps if step.status == "skipped"}
        assert skipped.isdisjoint(done)
