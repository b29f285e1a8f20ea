import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.conversations import SqliteConversations
from contracts.settings import ModelAlias
from tests.activities.model.conftest import shut
from tests.activities.model.harness import Desk
from tests.model import served
from tests.workflows.office import Office, open_office


@pytest.fixture(scope="session")
def served_model() -> Iterator[str]:
    """The URL of the small model, in a process of its own."""
    if find_spec("xllamacpp") is None:
        pytest.fail("the small model is not installed: sh .ci/setup model, or make test-model")
    command = (sys.executable, str(Path(served.__file__)))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), "the model's server did not start"
        yield url
        process.communicate()


@pytest.fixture
def aliases(served_model: str) -> dict[str, ModelAlias]:
    """The same model, each answer held to its schema in the way that the name says."""
    common = {"model": "smollm2", "base_url": served_model, "input_price": 1.0, "output_price": 2.0}
    return {
        "default": ModelAlias(**common),
        "by-schema": ModelAlias(**common, answer_by="schema"),
        "by-finish": ModelAlias(**common, answer_by="finish"),
        "unstreamed": ModelAlias(**common, stream=False),
    }


@pytest_asyncio.fixture
async def model_desk(aliases: dict[str, ModelAlias], tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(SqliteConversations(tmp_path / "c.db"), aliases, {})
    yield desk
    await shut(desk)


@pytest_asyncio.fixture
async def model_office(client: Client, aliases: dict[str, ModelAlias], tmp_path: Path) -> AsyncIterator[Office]:
    quick = timedelta(seconds=0.1)
    async with open_office(client, home=tmp_path, models=aliases, max_heartbeat_throttle_interval=quick) as opened:
        yield opened
