"""What it takes to test a process. `pytest_plugins = ["testkit"]` in the `conftest.py` of your tests brings it all.

    async def test_an_invoice_above_1000_is_signed_off_by_two(trial: OpenTrial) -> None:
        desk = await trial("processes/invoice-approval")
        run = await desk.start({"invoice_id": "INV-2041", "amount": 1840, "supplier": "Nordwind GmbH"})
        await run.approve("sign_off", by="user:alice")
        await run.approve("sign_off", by="user:bob")
        assert (await run.ended()).status == "completed"
        assert [call.args["amount"] for call in desk.calls("bank.transfer")] == [1840]

The worker is the real one, on a real Temporal test server on which days pass at once.
"""

from testkit.desk import Trial, TrialRun
from testkit.fakes import example
from testkit.fixtures import OpenTrial, trial
from testkit.histories import replay
from testkit.recording import Called

__all__ = ["Called", "OpenTrial", "Trial", "TrialRun", "example", "replay", "trial"]
