"""The records database of each kind, on a real server of its kind."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, text

from activities.records.opening import open_records
from activities.records.store import Records
from activities.records.tables import metadata
from contracts.stores import RecordSettings
from runtime.keys import Keys
from tests.stores import Server


@dataclass
class BackEnd:
    """`open`: another worker's store of the same database. `do`: a statement of somebody who has the database."""

    settings: RecordSettings
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    opened: list[Records] = field(default_factory=list)

    def open(self, keys: Keys | None = None) -> Records:
        made = open_records(self.settings, self.home, self.environment, keys)
        self.opened.append(made)
        return made

    async def do(self, statement: str, **values: Any) -> None:
        def change(connection: Connection) -> None:
            connection.execute(text(statement), values)

        await self.open().database.write(change)


@pytest.fixture
def sqlite_records(tmp_path: Path) -> BackEnd:
    return BackEnd(RecordSettings(), tmp_path)


@pytest.fixture
def postgres_records(postgres: Server, tmp_path: Path) -> BackEnd:
    import psycopg

    with psycopg.connect(postgres.url, password=postgres.password) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {', '.join((*metadata.tables, 'surefoot_schema'))}")
    settings = RecordSettings(url=postgres.url, password="env:RECORDS_PASSWORD")
    return BackEnd(settings, tmp_path, {"RECORDS_PASSWORD": postgres.password})


@pytest_asyncio.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
async def back_end(request: pytest.FixtureRequest) -> AsyncIterator[BackEnd]:
    made: BackEnd = request.getfixturevalue(f"{request.param}_records")
    yield made
    for records in made.opened:
        await records.close()
