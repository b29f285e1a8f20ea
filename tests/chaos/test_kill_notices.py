"""A worker that is killed between sending a notice and saying so: it is sent again under the same id, once more."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.notices.ledger import Ledger
from activities.records.opening import open_records
from contracts.names import PROCESS_WORKFLOW, VIEW_QUERY
from contracts.run import RunRequest, RunView
from contracts.stores import RecordSettings
from tests.activities.notices.desk import SECRET
from tests.business import Business, eventually
from tests.chaos.haste import HASTY_WORKER
from tests.service import Answer, Request, open_service
from tests.warm.python import WarmPython

PROCESS = """
process: doubtful
steps:
  check: {wait: 0s, success: "${ 1 > 2 }"}
"""
SETTINGS = """
[[notices]]
name = "hook"
kind = "webhook"
url = "URL"
secret = "env:HOOK_SECRET"
"""


@pytest.mark.chaos
@pytest.mark.slow
async def test_a_notice_is_sent_again_under_its_id_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_python: WarmPython
) -> None:
    folder = tmp_path / "processes" / "doubtful"
    folder.mkdir(parents=True)
    (folder / "process.yaml").write_text(PROCESS)
    home = tmp_path / "home"
    home.mkdir()
    business = Business(home, HASTY_WORKER, warm_python)
    with open_service() as service:
        (tmp_path / "surefoot.toml").write_text(SETTINGS.replace("URL", service.base))
        monkeypatch.setenv("SUREFOOT_CONFIG", str(tmp_path / "surefoot.toml"))
        monkeypatch.setenv("SUREFOOT_PROCESSES", str(tmp_path / "processes"))
        monkeypatch.setenv("HOOK_SECRET", SECRET)

        def kill_before_the_answer(request: Request) -> Answer:
            if not killed.is_set():
                business.kill_worker()
                killed.set()
            return Answer(b"", status=204)

        killed = threading.Event()
        service.answer = kill_before_the_answer
        business.start_worker()
        try:
            client = await business.client()
            handle: WorkflowHandle[Any, Any] = await client.start_workflow(
                PROCESS_WORKFLOW, RunRequest(process="doubtful", input={}), id="doubtful-1", task_queue="surefoot"
            )
            assert await asyncio.to_thread(killed.wait, 90)
            assert len(service.requests) == 1
            business.start_worker()
            records = open_records(RecordSettings(), home, {})
            ledger = Ledger(records.database)
            letters = await eventually(ledger.letters, lambda found: bool(found) and found[0].state == "delivered")
            client = await business.client()
            view = await eventually(lambda: _view(client.get_workflow_handle(handle.id)), lambda seen: seen is not None)
            await records.close()
        finally:
            business.stop()
    assert [incident.step for incident in view.incidents] == ["check"]
    assert [(each.channel, each.state, each.attempts) for each in letters] == [("hook", "delivered", 2)]
    assert [request.headers["webhook-id"] for request in service.requests] == [letters[0].id] * 2


async def _view(handle: WorkflowHandle[Any, Any]) -> RunView | None:
    try:
        found: RunView = await handle.query(VIEW_QUERY, result_type=RunView)
    except (RPCError, WorkflowQueryFailedError):  # the worker that died was asked
        return None
    return found
