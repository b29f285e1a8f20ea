"""Servers that the tests of several stores share."""

from collections.abc import Iterator

import pytest

from tests.stores import Server, needs, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    needs("postgresql")
    with postgres_server() as server:
        yield server
