"""The section `sql` of a `tools.yaml`."""

from sqlglot import exp

from contracts.connections import SqlCall, SqlGroup, Statement
from language.source import Path
from language.sql_guard import SqlRefused, readable, writable
from language.tools.making import DEFAULT_TIMEOUT, Making

KEY = "idempotency_key"
"""A parameter that any statement may have without declaring it."""

_FREE = frozenset({"sqlite", "postgres"})
"""Databases whose own read-only mode holds what a statement that nobody wrote beforehand may do."""


def sql_dialect(url: str) -> str | None:
    """sqlglot's name of the dialect that a SQLAlchemy URL speaks; None for standard SQL."""
    name = url.partition(":")[0].partition("+")[0].lower()
    known = {"postgresql": "postgres", "postgres": "postgres", "mssql": "tsql", "mariadb": "mysql"}
    return known.get(name, name if name in ("sqlite", "mysql", "oracle", "duckdb", "snowflake", "bigquery") else None)


def sql_tools(making: Making, group: str, sql: SqlGroup) -> None:
    """Tools of a database: its statements, and perhaps one for any that reads."""
    if sql.query:
        at: Path = ("sql", group, "query")
        if sql_dialect(sql.url) not in _FREE:
            said = "`query: true` is for SQLite and PostgreSQL, which keep such a statement from writing"
            making.report(at, said, "declare `statements`; the URL must begin with sqlite: or postgresql:")
        text = f"Run one SQL statement that only reads, and get its rows (at most {sql.rows}) as objects."
        free = Statement(sql="SELECT 1", description=text, arguments={"sql": {"type": "string"}})
        _statement(making, group, sql, "query", free, at)
    for name, statement in sql.statements.items():
        at = ("sql", group, "statements", name)
        _check(making, sql, statement, at)
        _statement(making, group, sql, name, statement, at)


def _check(making: Making, group: SqlGroup, statement: Statement, at: Path) -> None:
    writes = statement.effect == "write"
    try:
        tree = (writable if writes else readable)(statement.sql, sql_dialect(group.url))
    except SqlRefused as error:
        making.report((*at, "sql"), str(error), "" if writes else "a statement that changes rows has `effect: write`")
        return
    used = {node.name for node in tree.find_all(exp.Placeholder) if node.name and node.name != "?"}
    for name in sorted(used - set(statement.arguments) - {KEY}):
        making.report((*at, "sql"), f"`:{name}` is no argument", "declare it in `arguments`")
    for name in sorted(set(statement.arguments) - used):
        making.report((*at, "arguments", name), f"the statement has no `:{name}`", "use it, or take it out")


def _statement(making: Making, group: str, sql: SqlGroup, name: str, statement: Statement, at: Path) -> None:
    parameters, returns = making.schemas(statement, at)
    spec = making.spec(f"{group}.{name}", statement, sql, at, parameters, returns, "read", outside=False)
    call = SqlCall(
        url=sql.url,
        folder=making.folder,
        rows=sql.rows,
        writes=spec.effect == "write",
        sql=None if at[-1] == "query" else statement.sql,
        timeout=spec.timeout or DEFAULT_TIMEOUT,
    )
    making.add(at, spec, call, group, sql)
