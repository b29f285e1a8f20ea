"""kill -9 of the worker in the middle of a foreign agent's turn: the turn is made again, and no tool with it."""

import asyncio
import json
import shutil
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from contracts.adapters import GROUPS, Framework
from contracts.names import PROCESS_WORKFLOW, TASK_QUEUE
from contracts.run import RunResult
from tests.business import Business, eventually
from tests.chaos.haste import HASTY_WORKER
from tests.endpoint import Answered, Asked, completion, open_endpoint
from tests.warm.python import WarmPython

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]
OTHERS = ("openai_agents", "langgraph")
"""They go the same way through the worker, so one of the three is killed each time and these by hand."""

FILES = Path(__file__).parents[1] / "activities/adapters/files"
PACKAGES: dict[Framework, str] = {"pydantic_ai": "pydantic_ai", "openai_agents": "agents", "langgraph": "langgraph"}

TOOLS = '''
import os
from contracts.tools import ToolContext, tool

@tool(name="ledger.add", effect="write")
def add(ctx: ToolContext, what: str) -> str:
    """Leave a line."""
    with open(os.environ["TEST_LEDGER"], "a") as ledger:
        ledger.write(what + "\\n")
    return what
'''


def write_process(folder: Path, framework: Framework) -> None:
    folder.mkdir(parents=True)
    shutil.copy(FILES / f"with_{framework}.py", folder / "team.py")
    (folder / "tools.py").write_text(TOOLS)
    (folder / "process.yaml").write_text(
        f"process: with-team\nagents:\n  clerk: {{adapter: {{{framework}: 'team.py:clerk'}}, tools: [ledger.add]}}\n"
        "steps:\n  ask: {agent: clerk, task: Do it.}\noutput: ${ steps.ask.output }\n"
    )


@pytest.mark.parametrize("framework", ["pydantic_ai", *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)])
async def test_a_worker_killed_in_a_turn_repeats_the_turn_and_no_tool(
    framework: Framework, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_python: WarmPython
) -> None:
    if find_spec(PACKAGES[framework]) is None:
        pytest.skip(f"make setup WITH={GROUPS[framework]}")
    ledger = tmp_path / "ledger.txt"
    write_process(tmp_path / "processes/with-team", framework)
    monkeypatch.setenv("SUREFOOT_PROCESSES", str(tmp_path / "processes"))
    monkeypatch.setenv("TEST_LEDGER", str(ledger))
    killed = threading.Event()

    def answer(asked: Asked) -> Answered:
        calls = () if any(message["role"] == "tool" for message in asked.messages) else (("ledger_add", {"what": "x"}),)
        held = None if calls else killed
        return Answered(body=json.dumps(completion(asked, "" if calls else "done", calls, "stop", (1, 1))), until=held)

    with open_endpoint() as endpoint:
        endpoint.default = answer
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        home = tmp_path / "home"
        home.mkdir()
        business = Business(home, HASTY_WORKER, warm_python)
        business.start_worker()
        try:
            client = await business.client()
            handle = await client.start_workflow(
                PROCESS_WORKFLOW,
                {"process": "with-team", "input": {}},
                id="with-team-chaos",
                task_queue=TASK_QUEUE,
                result_type=RunResult,
            )

            async def asked() -> int:
                return len(endpoint.requests)

            await eventually(asked, lambda count: count == 2)
            business.kill_worker()
            killed.set()
            business.start_worker()
            async with asyncio.timeout(150):
                assert (await handle.result()).output == "done"
            assert ledger.read_text() == "x\n"
            assert len(endpoint.requests) == 3
        finally:
            killed.set()
            business.stop()
