"""The worker that random plans run on."""

from collections.abc import AsyncIterator

import pytest_asyncio
from temporalio.client import Client

from tests.properties.rig import Rig, open_rig


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig(client: Client) -> AsyncIterator[Rig]:
    async with open_rig(client) as opened:
        yield opened
