"""What all worlds of a test session share."""

from collections.abc import Iterator

import pytest

from runtime.catalog import Catalog
from runtime.settings import PROJECT
from tests.chaos.nursery import Nursery
from tests.chaos.play import Stage
from tests.chaos.rehearsed import Rehearsed
from tests.endpoint import open_endpoint


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    catalog = Catalog.load([PROJECT / "processes"])
    with Nursery() as nursery, open_endpoint() as endpoint:
        endpoint.default = Rehearsed(catalog)
        yield Stage(nursery, endpoint.url, catalog)
