"""A desk that sends, and receivers for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.activities.notices.desk import Desk
from tests.mailbox import Mailbox, open_mailbox
from tests.service import Answer, Service, open_service


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def service() -> Iterator[Service]:
    """Answers as webhooks do, with 204 and nothing."""
    with open_service() as opened:
        opened.answer = lambda request: Answer(b"", status=204)
        yield opened


@pytest_asyncio.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with open_mailbox() as opened:
        yield opened
