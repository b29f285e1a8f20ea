"""Tests of one's own processes in a folder of one's own, with what the page says to write and nothing of the clone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks

PROCESS = """\
process: orders
description: Orders a part
value: {manual_minutes: 5, hourly_cost: 40, currency: EUR}
input: {type: object, required: [part]}
steps:
  order:
    tool: parts.order
    with: {part: "${ input.part }"}
output: {order: "${ steps.order.output }"}
"""
TOOLS = '''\
from contracts.tools import tool


@tool(name="parts.order", effect="write", idempotent=True)
def order(part: str) -> str:
    """Order a part."""
    return f"ordered {part}"
'''
TEST = """\
from contracts.faults import Faults


async def test_a_part_is_ordered_once(trial):
    desk = await trial("processes/orders")
    run = await desk.start({"part": "bolt"})
    assert (await run.ended()).output == {"order": "ordered bolt"}
    assert [call.args["part"] for call in desk.calls("parts.order")] == ["bolt"]


async def test_a_worker_that_dies_there_does_so_within_the_test(trial):
    desk = await trial("processes/orders", faults=Faults(namespace="default", at=("*/order:before", "*/ordre:after")))
    run = await desk.start({"part": "bolt"})
    assert (await run.ended()).output == {"order": "ordered bolt"}
"""


def written(language: str) -> Block:
    """The page's first block of this language that says how it is done."""
    return next(block for block in blocks(ROOT / "docs" / "testing.md") if block.language == language)


@pytest.mark.slow
def test_they_run_in_an_empty_folder_with_the_settings_of_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "processes" / "orders").mkdir(parents=True)
    (folder / "pytest.ini").write_text(written("ini").text.replace("/opt/surefoot", str(ROOT)))
    (folder / "conftest.py").write_text(written("python").text)
    (folder / "test_orders.py").write_text(TEST)
    (folder / "processes" / "orders" / "process.yaml").write_text(PROCESS)
    (folder / "processes" / "orders" / "tools.py").write_text(TOOLS)
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "no fault was made at */ordre:after; what began is orders-" in done.stdout
