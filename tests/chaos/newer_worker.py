"""`worker.py` of a release that decides otherwise: a timer before each tool. Histories of the one do not replay on the
other."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import workflow

sys.path.insert(0, str(Path(__file__).parents[2]))

import workflows.steps.tool
from workflows.calls import call_tool


async def call_after_a_moment(*arguments: Any) -> Any:
    await workflow.sleep(timedelta(milliseconds=1))
    return await call_tool(*arguments)


def decide_otherwise() -> None:
    vars(workflows.steps.tool)["call_tool"] = call_after_a_moment


if __name__ == "__main__":
    import worker

    decide_otherwise()
    asyncio.run(worker.main())
