"""What bad days happen to."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from tests.baddays.house import House
from tests.warm.python import WarmPython
from tests.workflows.office import Office, open_office


@pytest.fixture
def house(tmp_path: Path, warm_python: WarmPython) -> Iterator[House]:
    opened = House(tmp_path, warm_python.program)
    yield opened
    opened.stop()


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    async with open_office(client) as opened:
        yield opened
