"""`worker.py`, in which the first decision kills with -9, before it is counted, or after it and before it is answered.

`DIES`: `worker`, `server`, or both with a space between. `MOMENT`: `before`, `after`.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import worker
from contracts.decisions import Receipt
from contracts.state import StateValue
from tests.chaos.haste import hasten
from workflows import messages
from workflows.engine import Engine

take = messages.take


def dies(engine: Engine, message: messages.Message) -> Receipt | StateValue:
    vars(messages)["take"] = take
    if os.environ["MOMENT"] == "before":
        _die()
    answer = take(engine, message)
    if os.environ["MOMENT"] == "after":
        _die()
    return answer


def _die() -> None:
    server = json.loads((Path(os.environ["SUREFOOT_HOME"]) / "server.json").read_text())["pid"]
    pids = {"server": server, "worker": os.getpid()}
    for name in sorted(os.environ["DIES"].split()):  # the server first
        os.kill(pids[name], signal.SIGKILL)


if __name__ == "__main__":
    vars(messages)["take"] = dies
    hasten()
    asyncio.run(worker.main())
