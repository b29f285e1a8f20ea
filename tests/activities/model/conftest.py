from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from activities.conversations import SqliteConversations
from contracts.settings import ModelApi
from tests.activities.model.harness import Desk, desk_at
from tests.endpoint import Endpoint


@pytest_asyncio.fixture(params=["chat", "responses"])
async def either(request: pytest.FixtureRequest, endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk at the endpoint, once for each API."""
    api: ModelApi = request.param
    desk = desk_at(endpoint, tmp_path, api=api)
    yield desk
    await shut(desk)


@pytest_asyncio.fixture
async def desk(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[Desk]:
    opened = desk_at(endpoint, tmp_path)
    yield opened
    await shut(opened)


async def shut(desk: Desk) -> None:
    await desk.models.close()
    if isinstance(desk.store, SqliteConversations):
        await desk.store.close()
