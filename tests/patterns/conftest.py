"""One office for all patterns: their topics outlive a test, and are to find a worker in the next."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client

from tests.workflows.office import Office, open_office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def opened(client: Client) -> AsyncIterator[Office]:
    async with open_office(client) as office:
        yield office


@pytest.fixture
def office(opened: Office) -> Office:
    """The office as a test finds it: nothing done, nothing let go."""
    for noted in (opened.ledger, opened.calls, opened.gates, opened.started, opened.children):
        noted.clear()
    return opened
