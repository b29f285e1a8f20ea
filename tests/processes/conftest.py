"""The sample processes on a company of their own: a fresh database, tools called as a worker calls them."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.tools.runner import tool_activities
from contracts.base import Json
from contracts.tools import ToolCall
from runtime.catalog import Catalog

PROCESSES = Path(__file__).parents[2] / "processes"


@dataclass
class Company:
    """`call("bank.transfer", "run-1/pay", to=..., amount=...)` gives the tool's output; `rows(sql)` looks inside."""

    catalog: Catalog
    home: Path

    async def call(self, tool: str, key: str, **args: Json) -> Any:
        run, _, step = key.partition("/")
        activity = tool_activities([self.catalog.tools[tool]])[0]
        call = ToolCall(args=args, key=key, run=run, step=step)
        return (await ActivityEnvironment().run(activity, call)).output

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.home / "business.db")) as db:
            return db.execute(sql).fetchall()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.load([PROCESSES])


@pytest.fixture
def company(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    return Company(catalog, tmp_path)
