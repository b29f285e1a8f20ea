"""Which SQL only reads."""

import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from language.sql_guard import SqlRefused, as_checked, readable, writable

FINE = [
    "SELECT * FROM orders WHERE supplier = 'a;b' -- why; not",
    "WITH late AS (SELECT * FROM orders WHERE due < '2026-01-01') SELECT count(*) FROM late",
    "SELECT a FROM x UNION ALL SELECT b FROM y ORDER BY 1 LIMIT 5",
    "SELECT o.id, sum(l.amount) FROM orders o JOIN lines l ON l.order_id = o.id GROUP BY 1 HAVING sum(l.amount) > 10",
    "(SELECT 1)",
    "VALUES (1), (2)",
    "SELECT coalesce(x, 0), round(y, 2), upper(z), date_trunc('month', t) FROM v",
    "SELECT 'drop table x; /* -- */'",
    "SELECT 1;",
]
REFUSED = [
    "",
    ";",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE orders",
    "DROP TABLE orders",
    "DELETE FROM orders",
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO orders VALUES (1) RETURNING *) SELECT * FROM new",
    "SELECT * INTO copies FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "INSERT INTO orders VALUES (1)",
    "UPDATE orders SET a = 1",
    "CREATE TABLE x AS SELECT 1",
    "ALTER TABLE x ADD y int",
    "TRUNCATE orders",
    "GRANT ALL ON orders TO public",
    "COPY orders TO 'x.txt'",
    "COPY orders FROM PROGRAM 'id'",
    "ATTACH DATABASE 'x.db' AS x",
    "PRAGMA writable_schema = 1",
    "VACUUM INTO 'x.db'",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "DO $$ BEGIN END $$",
    "CALL anything()",
    "SET ROLE postgres",
    "RESET ALL",
    "LISTEN x",
    "BEGIN",
    "COMMIT",
    "LOAD 'x'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    "SELECT pg_sleep(100)",
    "SELECT pg_terminate_backend(1)",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, 'x.txt')",
    "SELECT set_config('x', 'y', false)",
    "SELECT current_setting('data_directory')",
    "SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)",
    "SELECT query_to_xml('delete from x', true, true, '')",
    "SELECT nextval('s')",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('x', 'y')",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT (SELECT pg_read_file('x'))",
    "SELECT * FROM x WHERE a = (SELECT pg_read_file('x'))",
    "TABLE pg_shadow",
    "not sql at all (",
    "SELECT '\x00'",
]


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
@pytest.mark.parametrize("sql", FINE)
def test_what_reads_is_fine_and_means_the_same_written_out(sql: str, dialect: str) -> None:
    written = as_checked(readable(sql, dialect), dialect)
    assert as_checked(readable(written, dialect), dialect) == written


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
@pytest.mark.parametrize("sql", REFUSED)
def test_anything_else_is_refused(sql: str, dialect: str) -> None:
    with pytest.raises(SqlRefused):
        readable(sql, dialect)


@pytest.mark.parametrize("sql", ["DROP TABLE x", "UPDATE x SET a = 1; DELETE FROM x", "COPY x TO 'y'", "VACUUM"])
def test_one_that_writes_changes_rows_and_nothing_else(sql: str) -> None:
    with pytest.raises(SqlRefused):
        writable(sql, "postgres")
    writable("INSERT INTO x (a) VALUES (:a) ON CONFLICT DO NOTHING RETURNING id", "postgres")


WORDS = """
SELECT FROM WHERE WITH INSERT INTO DELETE UPDATE SET DROP TABLE ATTACH PRAGMA VALUES UNION ALL AS RETURNING * , ( ) ;
-- /* */ ' '' " 1 orders id a = x load_extension('x') abs(1) ||
"""
PIECES = some.sampled_from([*WORDS.split(), " ", "\n"])


@settings(max_examples=300)
@given(some.lists(PIECES, max_size=14).map(" ".join))
def test_whatever_passes_changes_nothing_in_a_real_database(sql: str) -> None:
    """Also without the database's own read-only mode."""
    try:
        checked = as_checked(readable(sql, "sqlite"), "sqlite")
    except SqlRefused:
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, a TEXT)")
        connection.execute("INSERT INTO orders VALUES (1, 'x')")
        connection.commit()
        before = list(connection.iterdump())
        with suppress(sqlite3.Error):
            connection.execute(checked).fetchall()
        assert not connection.in_transaction
        assert list(connection.iterdump()) == before
