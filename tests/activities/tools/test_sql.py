"""SQL tools against a real SQLite file and a real PostgreSQL."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.tools.sql import guard
from tests.activities.tools.declared import declared

BOOKS = """
    sql:
      books:
        url: {url}
        rows: 3
        query: true
        statements:
          of_supplier:
            sql: SELECT id, supplier, amount FROM orders WHERE supplier = :supplier ORDER BY id
            arguments: {{supplier: str}}
          add:
            sql: >-
              INSERT INTO orders (id, supplier, amount, key) VALUES (:id, :supplier, :amount, :idempotency_key)
              ON CONFLICT (key) DO NOTHING
            arguments: {{id: int, supplier: str, amount: float}}
            effect: write
            idempotent: true
"""
SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "books.db")) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER, supplier TEXT, amount NUMERIC, key TEXT UNIQUE)")
        connection.execute("INSERT INTO orders VALUES (1, 'ink', 4.5, 'a'), (2, 'pen', 7, 'b')")
    return tmp_path


def sqlite(folder: Path) -> Any:
    return declared(folder, BOOKS.format(url="sqlite:///books.db"))


def meaning(error: ApplicationError) -> tuple[bool, str]:
    return not error.non_retryable, error.details[0]["applied"]


async def test_parameters_are_bound_and_rows_are_objects(folder: Path) -> None:
    async with sqlite(folder) as call:
        assert await call("books.of_supplier", supplier="ink") == [{"id": 1, "supplier": "ink", "amount": 4.5}]
        assert await call("books.of_supplier", supplier="' OR 1=1 --") == []
        assert await call("books.query", sql="SELECT count(*) AS n FROM orders") == [{"n": 2}]
        assert (await call.failure("books.of_supplier", supplier=5)).type == "ArgumentsInvalid"


async def test_a_write_is_committed_once_for_one_key(folder: Path) -> None:
    async with sqlite(folder) as call:
        assert await call("books.add", id=3, supplier="o'neill", amount=1.25) == {"changed": 1}
        assert await call("books.add", id=3, supplier="o'neill", amount=1.25) == {"changed": 0}
        assert await call("books.of_supplier", supplier="o'neill") == [{"id": 3, "supplier": "o'neill", "amount": 1.25}]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "ATTACH DATABASE 'other.db' AS other",
        "PRAGMA writable_schema = 1",
        "SELECT load_extension('x')",
        "SELECT * FROM pragma_database_list",
        "VACUUM INTO 'copy.db'",
    ],
)
async def test_a_free_query_changes_nothing_and_opens_nothing(folder: Path, sql: str) -> None:
    before = (folder / "books.db").read_bytes()
    async with sqlite(folder) as call:
        assert meaning(await call.failure("books.query", sql=sql)) == (False, "no")
    assert (folder / "books.db").read_bytes() == before
    assert not (folder / "other.db").exists()
    assert not (folder / "copy.db").exists()


async def test_the_database_itself_refuses_what_a_statement_that_reads_must_not_do(folder: Path) -> None:
    """Whatever the parser took it for."""

    with closing(sqlite3.connect(folder / "books.db")) as connection:
        guard(connection, writes=False)
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        for sql in ("DELETE FROM orders", "ATTACH 'x.db' AS x", "PRAGMA query_only = 0", "CREATE TEMP TABLE x (a)"):
            with pytest.raises(sqlite3.DatabaseError):
                connection.execute(sql)


async def test_rows_and_time_are_bounded(folder: Path) -> None:
    async with sqlite(folder) as call:
        error = await call.failure("books.query", sql="SELECT 1 FROM orders a, orders b")
        assert "more than 3 rows" in str(error)
    text = BOOKS.format(url="sqlite:///books.db").replace("rows: 3", "rows: 3\n        timeout: 300ms")
    async with declared(folder, text) as call:
        assert "interrupted" in str(await call.failure("books.query", sql=SLOW))


SLOW_LATER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 2 OR i < 0"


async def test_a_statement_that_ends_among_its_rows_is_refused_as_any_other(folder: Path) -> None:
    text = BOOKS.format(url="sqlite:///books.db").replace("rows: 3", "rows: 3\n        timeout: 300ms")
    async with declared(folder, text) as call:
        error = await call.failure("books.query", sql=SLOW_LATER)
        assert "interrupted" in str(error)
        assert meaning(error) == (False, "no")


async def test_no_value_is_larger_than_a_result_and_no_column_is_lost(folder: Path) -> None:
    async with sqlite(folder) as call:
        long = f"replace(replace('{'a' * 1000}', 'a', '{'b' * 1000}'), 'b', '{'c' * 1000}')"
        assert "too big" in str(await call.failure("books.query", sql=f"SELECT {long} AS long"))
        for sql in ("SELECT printf('%.*c', 2000000000, 'x')", "SELECT format('%2000000000s', 'x')"):
            assert "text of any length" in str(await call.failure("books.query", sql=sql))
        error = await call.failure("books.query", sql="SELECT a.id, b.id FROM orders a JOIN orders b ON a.id = b.id")
        assert "two columns are called id" in str(error)


async def test_a_password_may_hold_any_sign(folder: Path) -> None:
    (folder / "books.db").rename(folder / "b@o#k?s:1%2.db")
    text = BOOKS.format(url="sqlite:///${{ secret('name') }}.db".replace("{{", "{").replace("}}", "}"))
    async with declared(folder, text, secrets={"name": "b@o#k?s:1%2"}) as call:
        assert await call("books.query", sql="SELECT count(*) AS n FROM orders") == [{"n": 2}]


async def test_a_database_that_is_not_there_is_told_of(folder: Path) -> None:
    async with declared(folder, BOOKS.format(url="sqlite:///none.db")) as call:
        assert "unable to open" in str(await call.failure("books.query", sql="SELECT 1"))
    assert not (folder / "none.db").exists()


def postgres_binaries() -> Path | None:
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a socket in a folder of its own; run as nobody when the tests are root's, which it refuses."""
    pytest.importorskip("psycopg", reason="make setup WITH=postgres")
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        if user:
            shutil.chown(folder, "nobody", "nogroup")

        def run(program: str, *options: str) -> None:
            command = [*user, str(binaries / program), *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

        data = ("-D", str(folder / "data"))
        run("initdb", *data, "-U", "books", "-A", "trust", "--no-sync")
        where = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", *data, "-w", "-l", str(folder / "log"), "-o", where, "start")
        table = "CREATE TABLE orders (id int, supplier text, amount numeric, key text unique)"
        try:
            run("psql", "-h", str(folder), "-U", "books", "postgres", "-c", table)
            yield f"postgresql://books@/postgres?host={folder}"
        finally:
            run("pg_ctl", *data, "-m", "immediate", "stop")


@pytest.mark.slow
async def test_postgresql_reads_in_a_transaction_that_cannot_write(postgres: str, tmp_path: Path) -> None:
    text = BOOKS.format(url=f"{postgres}").replace("rows: 3", "rows: 3\n        timeout: 1s")
    async with declared(tmp_path, text) as call:
        assert await call("books.add", id=1, supplier="ink", amount=4.5) == {"changed": 1}
        assert await call("books.add", id=1, supplier="ink", amount=4.5) == {"changed": 0}
        assert await call("books.of_supplier", supplier="ink") == [{"id": 1, "supplier": "ink", "amount": 4.5}]
        assert await call("books.query", sql="SELECT '10 % of :x' AS said, 12345678901234567890.123 AS big") == [
            {"said": "10 % of :x", "big": "12345678901234567890.123"}
        ]
        assert meaning(await call.failure("books.query", sql="SELECT pg_read_file('/etc/passwd')")) == (False, "no")
        error = await call.failure("books.query", sql=SLOW)
        assert "statement timeout" in str(error)
        assert meaning(error) == (False, "no")
        error = await call.failure("books.query", sql="SELECT generate_series(1, 1000000000)")
        assert "more than 3 rows" in str(error)
        error = await call.failure("books.query", sql="SELECT repeat('x', 1000000000)")
        assert "text of any length" in str(error)
        error = await call.failure("books.query", sql="SELECT * FROM nowhere")
        assert meaning(error) == (False, "no")


@pytest.mark.slow
async def test_postgresql_itself_refuses_a_write_that_no_parser_sees(postgres: str, tmp_path: Path) -> None:
    hidden = "CREATE FUNCTION reverse(text[]) RETURNS text LANGUAGE sql AS 'DELETE FROM orders RETURNING supplier'"
    import psycopg

    with psycopg.connect(postgres) as connection:
        connection.execute(hidden)
    async with declared(tmp_path, BOOKS.format(url=postgres)) as call:
        error = await call.failure("books.query", sql="SELECT reverse(ARRAY['x'])")
        assert "read-only transaction" in str(error)
        assert meaning(error) == (False, "no")
