"""The fixture `trial`, which puts processes on trial."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from contracts.faults import Faults
from testkit.desk import Trial
from testkit.opening import open_trial


class OpenTrial(Protocol):
    """What the fixture `trial` is.

    Args:
        process: the folder of a process. Those beside it, and the tools they share, are there too.
        people: the file of users and groups; by default `people.yaml` beside the processes, else the project's.
        faults: which faults the worker makes; `at` takes `*/STEP:between`. It dies within the test's process, and
            a place that nothing came to is an error when the test ends. None of models: a script answers for them.
    """

    async def __call__(
        self, process: str | Path, *, people: Path | None = None, faults: Faults | None = None
    ) -> Trial: ...


@pytest_asyncio.fixture
async def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenTrial]:
    """`desk = await trial("processes/invoice-approval")`."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "SUREFOOT_", "TEMPORAL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SUREFOOT_PACE", "0")
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    async with AsyncExitStack() as stack:

        async def opened(process: str | Path, *, people: Path | None = None, faults: Faults | None = None) -> Trial:
            return await stack.enter_async_context(open_trial(Path(process), tmp_path, people, faults))

        yield opened
