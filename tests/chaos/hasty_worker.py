"""`worker.py`, which is taken for lost soon when it is."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import worker
from tests.chaos.haste import hasten

if __name__ == "__main__":
    hasten()
    asyncio.run(worker.main())
