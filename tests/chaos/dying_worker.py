"""`worker.py`, killed with -9 by its own write of a record: before it, or after it and before that is reported.

`DIES`: `before` or `after`; `DIES_OF`: the kind of event of whose write it dies, others are written.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import worker
from activities.records.store import Records
from contracts.record import WriteRecord
from tests.chaos.haste import hasten

write = Records.write


async def dies(self: Records, request: WriteRecord) -> None:
    is_it = any(event.kind == os.environ["DIES_OF"] for event in request.events)
    if not is_it or os.environ["DIES"] == "after":
        await write(self, request)
    if is_it:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Records.write = dies  # type: ignore[method-assign] # the fault
    hasten()
    asyncio.run(worker.main())
