"""The office of the engine's tests, on the server that all tests share; a desk and receivers for its notices."""

from collections.abc import AsyncIterator

import pytest_asyncio
from temporalio.client import Client

from tests.activities.notices.desk import desk, mailbox, service
from tests.workflows.office import Office, open_office

__all__ = ["desk", "mailbox", "office", "service"]


@pytest_asyncio.fixture
async def office(client: Client) -> AsyncIterator[Office]:
    async with open_office(client) as opened:
        yield opened
