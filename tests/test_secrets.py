"""Secrets planted in a real worker: none in what it writes, none in the histories of its runs."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import Client
from uuid_utils import uuid7

from contracts.names import PROCESS_WORKFLOW
from contracts.run import RunRequest, RunResult
from tests.endpoint import open_endpoint
from tests.test_worker import says, start_worker

CANARY = "c4n4ry"
PROCESS = """
process: leaky
input: {type: object}
agents: {clerk: {instructions: Be brief.}}
steps:
  log: {tool: leak.log}
  fail: {tool: leak.fail, on_failure: continue, needs: [log]}
  crash: {tool: leak.crash, on_failure: continue, retry: {attempts: 2, first: 10ms}, needs: [fail]}
  ask: {agent: clerk, task: Answer., on_failure: continue, needs: [crash]}
output: ${ steps.log.output }
"""
TOOLS = '''
import logging
import os

from contracts.tools import ToolContext, ToolError, tool


@tool(name="leak.log", effect="read")
async def log(ctx: ToolContext) -> str:
    """Tell everybody."""
    secret = ctx.secret("erp.token")
    ctx.log.warning(f"token {secret}", token=secret, headers={"x-key": secret})
    logging.getLogger("somebody").error("of %s and %s", secret, os.environ["DATABASE_URL"])
    return f"the token is {secret}"


@tool(name="leak.fail", effect="read")
async def fail(ctx: ToolContext) -> None:
    """Say no, with the reason."""
    raise ToolError(f"ERP refused {ctx.secret('erp.token')}", retry=False)


@tool(name="leak.crash", effect="read")
async def crash(ctx: ToolContext) -> None:
    """Break, with a cause."""
    try:
        raise ConnectionError(f"https://app:{ctx.secret('erp.token')}@erp.example refused")
    except ConnectionError as error:
        raise RuntimeError("no line") from error
'''


@pytest.mark.slow
async def test_no_secret_is_in_a_line_or_a_history_of_a_real_worker(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "processes" / "leaky"
    folder.mkdir(parents=True)
    (folder / "process.yaml").write_text(PROCESS)
    (folder / "tools.py").write_text(TOOLS)
    queue = f"leaky-{uuid7()}"
    key = f"sk-{CANARY}-0123456789abcdef"
    with open_endpoint() as endpoint:
        endpoint.fail(401, code="invalid_api_key", message=f"Incorrect API key provided: {key}. Bearer {key}")
        worker = await start_worker(
            {
                "SUREFOOT_HOME": str(tmp_path / "home"),
                "SUREFOOT_PROCESSES": str(folder.parent),
                "SUREFOOT_TASK_QUEUE": queue,
                "SUREFOOT_SECRET_ERP_TOKEN": f"{CANARY}-erp",
                "DATABASE_URL": f"postgresql://app:{CANARY}-database@db/app",
                "OPENAI_BASE_URL": endpoint.url,
                "OPENAI_API_KEY": key,
                "HOME": str(tmp_path),
                "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            }
        )
        await says(worker, b"is ready")
        run = await client.start_workflow(
            PROCESS_WORKFLOW, RunRequest(process="leaky", input={}), id=queue, task_queue=queue, result_type=RunResult
        )
        assert (await run.result()).output == "the token is [secret]"
        worker.terminate()
        _, written = await asyncio.wait_for(worker.communicate(), 60)
    assert b"ERP refused [secret]" in written
    assert b"ConnectionError" in written
    assert CANARY.encode() not in written
    for workflow in (run.id, f"{run.id}/ask"):
        history = await client.get_workflow_handle(workflow).fetch_history()
        assert [event for event in history.events if CANARY.encode() in event.SerializeToString()] == []
