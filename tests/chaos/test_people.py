"""A test of the tests: who mends runs answers what is asked, also of a run that takes all back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.faults.dice import Dice
from activities.faults.points import FaultPoints
from contracts.base import Json
from contracts.faults import Faults
from tests.chaos.people import People
from tests.workflows.office import UNDO, Office, Run, effects, open_office

PROCESS = f"process: given-up\nsteps: {{pay: {{tool: do.held, retry: {{attempts: 1}}, {UNDO}}}}}"


@pytest.mark.parametrize(("happened", "undone"), [({"pay": {"id": "pay"}}, ["pay"]), ({}, [])])
async def test_of_a_run_that_takes_all_back_it_is_said_whether_a_step_happened(
    client: Client, tmp_path: Path, happened: Mapping[str, Any], undone: list[str]
) -> None:
    lossy = FaultPoints(Dice(Faults(namespace="default", at=("*/pay:lost",)), tmp_path / "faults.log"))
    async with open_office(client, interceptors=[lossy]) as office:
        run = await given_up(office)

        def outcome(key: str) -> Json:
            return happened.get(key.removeprefix(f"{run.id}/"))

        people = People(client, outcome, {})
        await people._attend(run.id)
        view = await run.until(lambda view: view.ended is not None)
        assert (view.status, effects(office, "undo")) == ("cancelled", undone)


async def given_up(office: Office) -> Run:
    """It was cancelled while its step was at work, the answer of which was lost."""
    run = await office.start(PROCESS)
    await office.started["pay"].wait()
    await run.cancel()
    office.gates["pay"].set()
    await run.parked("pay")
    return run
