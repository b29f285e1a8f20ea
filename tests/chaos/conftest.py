"""What all worlds of a test session share, and a company whose lost workers are noticed soon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.catalog import Catalog
from runtime.settings import PROJECT
from tests.business import Business
from tests.chaos.haste import HASTY_WORKER
from tests.chaos.nursery import Nursery
from tests.chaos.play import Stage
from tests.chaos.rehearsed import Rehearsed
from tests.chaos.suite import wanted_seeds
from tests.endpoint import open_endpoint
from tests.warm.python import WarmPython


def pytest_configure() -> None:
    wanted_seeds()  # so that what is no seed is told before anything begins


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    catalog = Catalog.load([PROJECT / "processes"])
    with Nursery() as nursery, open_endpoint() as endpoint:
        endpoint.default = Rehearsed(catalog)
        yield Stage(nursery, endpoint.url, catalog)


@pytest.fixture
def home(tmp_path: Path, warm_python: WarmPython) -> Iterator[Business]:
    """One whose worker is still to be started."""
    opened = Business(tmp_path, HASTY_WORKER, warm_python)
    yield opened
    opened.stop()


@pytest.fixture
def business(home: Business) -> Business:
    home.start_worker()
    return home
