"""kill -9 of the worker when a write that is not idempotent has had its effect and the server does not know of it: it
is not made again, be it that its `check` finds it or that people are asked.

The ledger is a file that grows by a line a call, whatever its key, so that a second effect would be seen.
"""

from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from contracts.faults import Faults
from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE, VIEW_QUERY
from contracts.run import RunResult, RunView
from tests.business import Business, eventually
from tests.chaos.test_kill import ANSWERS_WITHIN
from tests.chaos.test_kill_record import died

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

RUN = "postings-chaos"
TOOLS = '''
import os
from pathlib import Path

from contracts.tools import ToolContext, tool

LEDGER = Path(os.environ["SUREFOOT_HOME"]) / "ledger.txt"

@tool(name="ledger.find", effect="read")
def find(ctx: ToolContext) -> str | None:
    """The line of this call, if there is one."""
    lines = LEDGER.read_text().splitlines() if LEDGER.exists() else []
    return next((line for line in lines if line == ctx.idempotency_key), None)

@tool(name="ledger.post", effect="write", check=find)
def post(ctx: ToolContext) -> str:
    """Leave a line that can be looked for."""
    return leave(ctx.idempotency_key)

@tool(name="ledger.post_blindly", effect="write")
def post_blindly(ctx: ToolContext) -> str:
    """Leave a line that nobody can look for."""
    return leave(ctx.idempotency_key)

def leave(line: str) -> str:
    with LEDGER.open("a") as ledger:
        ledger.write(f"{line}\\n")
    return line
'''
PROCESS = """
process: postings
steps:
  found: {tool: ledger.post}
  blind: {needs: [found], tool: ledger.post_blindly}
"""
FAULTS = Faults(namespace="default", at=(f"{RUN}/found:between", f"{RUN}/blind:between"))


async def test_a_write_that_is_not_idempotent_is_not_made_again_when_its_worker_dies_after_it(
    home: Business, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "processes/postings"
    folder.mkdir(parents=True)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "process.yaml").write_text(PROCESS)
    monkeypatch.setenv("SUREFOOT_PROCESSES", str(folder.parent))
    monkeypatch.setenv("SUREFOOT_FAULTS", FAULTS.model_dump_json())
    home.start_worker()
    client = await home.client()
    handle: WorkflowHandle[Any, RunResult] = await client.start_workflow(
        PROCESS_WORKFLOW, {"process": "postings"}, id=RUN, task_queue=TASK_QUEUE, result_type=RunResult
    )
    for _ in FAULTS.at:
        await died(home)
        home.start_worker()

    async def view() -> RunView | None:
        try:
            seen: RunView = await handle.query(VIEW_QUERY, result_type=RunView, rpc_timeout=ANSWERS_WITHIN)
        except (RPCError, WorkflowQueryFailedError):
            return None
        return seen

    seen: RunView = await eventually(view, lambda now: now is not None and (now.incidents or now.ended))
    assert (tmp_path / "ledger.txt").read_text() == f"{RUN}/found\n{RUN}/blind\n"
    found, blind = seen.steps
    assert (found.status, found.output, blind.status) == ("completed", f"{RUN}/found", "attention")
    (incident,) = seen.incidents
    assert (incident.step, incident.error.type) == ("blind", "OutcomeUnknown")
    assert f"Whether ledger.post_blindly took effect is unknown (key {RUN}/blind)" in incident.error.message
