"""The pretend company: one SQLite file that plays the HR system, the directory of accounts, the helpdesk, the learning
platform, the calendar, the mail server, the ERP, the bank, the registers of companies, the budget and the warehouse, so
that what a run did can be seen and undone.

    sqlite3 .surefoot/business.db 'select sequence, tool, key, undone_by from effects'

Real tools call real systems instead. What carries over is the pattern: every effect is written in one transaction with
its idempotency key, in the table `effects`. The same key again, from a retry or from a worker that was killed before it
could report, finds the first result and changes nothing.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from contracts.tools import ToolContext, ToolError

T = TypeVar("T", bound=BaseModel)
Row = sqlite3.Row

OURS = "operating"
"""Our own account at the bank."""

BUSY_SECONDS = 30.0
"""How long to wait for another process that is writing."""

SCHEMA = """
CREATE TABLE effects (
    key        TEXT PRIMARY KEY,             -- the call's idempotency key: workflow id and step
    sequence   INTEGER NOT NULL UNIQUE,      -- the order in which effects happened, from 1
    tool       TEXT NOT NULL,
    args       TEXT NOT NULL,                -- JSON
    result     TEXT NOT NULL,                -- JSON; what the same key gets when it comes again
    subject    TEXT NOT NULL,                -- what it made or changed: E-1001, TR-1003
    undone_by  TEXT REFERENCES effects(key), -- the effect that took it back
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE TABLE employees
    (id TEXT PRIMARY KEY, name TEXT, email TEXT, role TEXT, start_date TEXT, manager TEXT, status TEXT);
CREATE TABLE accounts (id TEXT PRIMARY KEY, employee TEXT, system TEXT, username TEXT, status TEXT);
CREATE TABLE hardware
    (sku TEXT PRIMARY KEY, name TEXT, price REAL, memory_gb INTEGER, graphics INTEGER, stock INTEGER);
CREATE TABLE role_needs (role TEXT PRIMARY KEY, memory_gb INTEGER, graphics INTEGER, note TEXT);
CREATE TABLE orders (id TEXT PRIMARY KEY, employee TEXT, sku TEXT, price REAL, status TEXT);
CREATE TABLE courses (id TEXT PRIMARY KEY, title TEXT, role TEXT, hours REAL);
CREATE TABLE enrollments (id TEXT PRIMARY KEY, employee TEXT, course TEXT, status TEXT);
CREATE TABLE meetings (id TEXT PRIMARY KEY, title TEXT, day TEXT, people TEXT, status TEXT);
CREATE TABLE mails (id TEXT PRIMARY KEY, recipient TEXT, subject TEXT, body TEXT, status TEXT);
CREATE TABLE suppliers (name TEXT PRIMARY KEY, since INTEGER, invoices_paid INTEGER, open_disputes INTEGER);
CREATE TABLE purchase_orders (id TEXT PRIMARY KEY, supplier TEXT, invoice TEXT, total REAL, received INTEGER);
CREATE TABLE balances (account TEXT PRIMARY KEY, cents INTEGER NOT NULL CHECK (cents >= 0));
CREATE TABLE transfers (id TEXT PRIMARY KEY, recipient TEXT, cents INTEGER, status TEXT);

INSERT INTO hardware VALUES
    ('NB-13', 'Slate 13, 16 GB', 990, 16, 0, 14),
    ('NB-14', 'Slate 14, 32 GB', 1380, 32, 0, 9),
    ('NB-16', 'Anvil 16, 64 GB', 2460, 64, 0, 5),
    ('NB-16G', 'Anvil 16 G, 64 GB, graphics', 3290, 64, 1, 3),
    ('NB-18G', 'Anvil 18 G, 128 GB, graphics', 4750, 128, 1, 0);
INSERT INTO role_needs VALUES
    ('accountant', 16, 0, 'Spreadsheets and the ERP in a browser.'),
    ('support engineer', 32, 0, 'Several customer systems at once.'),
    ('software engineer', 32, 0, 'Builds and tests locally.'),
    ('data engineer', 64, 0, 'Works on samples of the warehouse in memory.'),
    ('designer', 64, 1, 'Renders locally.');
INSERT INTO courses VALUES
    ('SEC-1', 'Security from day one', '*', 1.5),
    ('HOW-1', 'How we work', '*', 2),
    ('DATA-2', 'The data warehouse and its rules', 'data engineer', 4),
    ('DEV-2', 'From commit to production', 'software engineer', 3),
    ('FIN-2', 'Closing the month', 'accountant', 3);
INSERT INTO suppliers VALUES
    ('Nordwind GmbH', 2016, 214, 0),
    ('Halden Office', 2021, 38, 0),
    ('Quickparts Ltd', 2026, 0, 0),
    ('Murkwater Trading', 2024, 7, 2);
INSERT INTO purchase_orders VALUES
    ('PO-7001', 'Nordwind GmbH', 'INV-2041', 1840, 1),
    ('PO-7002', 'Halden Office', 'INV-2042', 420, 1),
    ('PO-7003', 'Quickparts Ltd', 'INV-2043', 760, 1),
    ('PO-7004', 'Murkwater Trading', 'INV-2044', 5200, 0),
    ('PO-7005', 'Nordwind GmbH', 'INV-2045', 68000, 1);
INSERT INTO balances VALUES ('operating', 1000000000);
"""

ADDED_2 = """
-- Taking a supplier on: what registers and banks know of companies, and the ERP's records of suppliers.
CREATE TABLE companies (number TEXT PRIMARY KEY, name TEXT, country TEXT, founded INTEGER, directors TEXT, rating TEXT);
CREATE TABLE annual_accounts (company TEXT, year INTEGER, revenue REAL, equity REAL, profit REAL);
CREATE TABLE sanctions (name TEXT PRIMARY KEY, list TEXT);
CREATE TABLE bank_accounts (iban TEXT PRIMARY KEY, holder TEXT);
CREATE TABLE supplier_records
    (id TEXT PRIMARY KEY, name TEXT, country TEXT, iban TEXT, ceiling REAL, payment_days INTEGER, status TEXT);
-- Planning a budget: what departments need next year, and the budgets that are open.
CREATE TABLE budget_needs (department TEXT, item TEXT, purpose TEXT, amount REAL, priority TEXT);
CREATE TABLE budgets (id TEXT PRIMARY KEY, year INTEGER, department TEXT, amount REAL, items TEXT, status TEXT);
-- Serving an order: the warehouse, what suppliers offer, what carriers take.
CREATE TABLE customer_orders
    (id TEXT PRIMARY KEY, customer TEXT, email TEXT, sku TEXT, quantity INTEGER, within_days INTEGER);
CREATE TABLE stock (sku TEXT PRIMARY KEY, name TEXT, kilograms REAL, available INTEGER NOT NULL CHECK (available >= 0));
CREATE TABLE reservations (id TEXT PRIMARY KEY, customer_order TEXT, sku TEXT, quantity INTEGER, status TEXT);
CREATE TABLE offers (id TEXT PRIMARY KEY, supplier TEXT, sku TEXT, price REAL, minimum INTEGER, days INTEGER);
CREATE TABLE purchases
    (id TEXT PRIMARY KEY, supplier TEXT, sku TEXT, quantity INTEGER, total REAL, days INTEGER, status TEXT);
CREATE TABLE receipts (id TEXT PRIMARY KEY, purchase TEXT, sku TEXT, quantity INTEGER, status TEXT);
CREATE TABLE carriers (name TEXT PRIMARY KEY, most_kilograms REAL, price REAL, days INTEGER);
CREATE TABLE shipments (id TEXT PRIMARY KEY, customer_order TEXT, carrier TEXT, quantity INTEGER, status TEXT);

INSERT INTO companies VALUES
    ('SI-8834120', 'Kestrel Components', 'SI', 2025, 'Maja Kranjc, Luka Horvat', NULL),
    ('DE-4410982', 'Alpenrad GmbH', 'DE', 1994, 'Jonas Weidner', 'B'),
    ('CY-2290417', 'Oriel Trading', 'CY', 2019, 'Viktor Drozd', 'C');
INSERT INTO annual_accounts VALUES
    ('SI-8834120', 2025, 1240000, 310000, 96000),
    ('DE-4410982', 2025, 18400000, 6100000, 1150000),
    ('CY-2290417', 2025, 640000, 22000, 4000);
INSERT INTO sanctions VALUES ('Viktor Drozd', 'EU consolidated list');
INSERT INTO bank_accounts VALUES
    ('SI56191000000123438', 'Kestrel Components'),
    ('DE89370400440532013000', 'Alpenrad GmbH'),
    ('CY17002001280000001200527600', 'Oriel Trading');
INSERT INTO budget_needs VALUES
    ('engineering', 'staff', 'people', 430000, 'must'),
    ('engineering', 'build servers', 'build time', 60000, 'should'),
    ('engineering', 'status page of our own', 'status page', 45000, 'should'),
    ('engineering', 'phones for on-call duty', 'on call', 4000, 'should'),
    ('engineering', 'conference trips', 'learning', 20000, 'could'),
    ('sales', 'staff', 'people', 270000, 'must'),
    ('sales', 'trade fair stand', 'new customers', 48000, 'should'),
    ('sales', 'new showroom furniture', 'showroom', 30000, 'could'),
    ('support', 'staff', 'people', 190000, 'must'),
    ('support', 'status page subscription', 'status page', 12000, 'should'),
    ('support', 'on-call service', 'on call', 9000, 'should'),
    ('support', 'night shift', 'opening hours', 40000, 'should');
INSERT INTO customer_orders VALUES
    ('W-5001', 'Café Morgenrot', 'orders@morgenrot.example', 'CH-7', 40, 7),
    ('W-5002', 'Studio Lindgren', 'hello@lindgren.example', 'LP-4', 6, 3),
    ('W-5003', 'Hotel Seeblick', 'einkauf@seeblick.example', 'TB-2', 6, 21);
INSERT INTO stock VALUES
    ('CH-7', 'Oak chair', 6.5, 12),
    ('TB-2', 'Oak table', 34, 5),
    ('LP-4', 'Desk lamp', 1.2, 60);
INSERT INTO offers VALUES
    ('OF-1', 'Nordwind GmbH', 'CH-7', 58, 10, 4),
    ('OF-2', 'Halden Office', 'CH-7', 51, 25, 9),
    ('OF-3', 'Nordwind GmbH', 'TB-2', 260, 2, 6),
    ('OF-4', 'Quickparts Ltd', 'LP-4', 17, 20, 2);
INSERT INTO carriers VALUES
    ('Postwagen', 30, 9, 2),
    ('Stadtkurier', 120, 39, 1),
    ('Frachtring', 1500, 85, 3);
"""

VERSIONS = (SCHEMA, ADDED_2)
"""What was added to the file when: one made by an older copy of the project gets what it lacks."""


def database() -> Path:
    """The file: `business.db` in `SUREFOOT_HOME`, which is `.surefoot` in the project unless set."""
    home = os.environ.get("SUREFOOT_HOME")
    return (Path(home) if home else Path(__file__).resolve().parent.parent / ".surefoot") / "business.db"


@contextmanager
def read() -> Iterator[sqlite3.Connection]:
    """A connection for looking things up."""
    with closing(_connect()) as connection:
        yield connection


def apply(
    ctx: ToolContext,
    tool: str,
    args: dict[str, Any],
    result: type[T],
    change: Callable[[sqlite3.Connection], tuple[str, T]],
    *,
    undoes: str | None = None,
) -> T:
    """Make a change once per idempotency key, and return its result, the first one however often it is asked for.

    `change` gets the connection inside the transaction and returns (what it made or changed, the result). With
    `undoes`, the effect that made that subject is marked as undone by this one.

    Raises:
        ToolError: the key was used for something else, or `change` refuses; nothing is changed then.
    """
    asked = json.dumps(args, sort_keys=True)
    with closing(_connect()) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            known = connection.execute("SELECT * FROM effects WHERE key = ?", (ctx.idempotency_key,)).fetchone()
            if known is not None:
                if (known["tool"], known["args"]) != (tool, asked):
                    raise ToolError(
                        f"the key {ctx.idempotency_key} was used for {known['tool']} {known['args']} already",
                        retry=False,
                    )
                ctx.log.info("effect was there already", key=ctx.idempotency_key)
                return result.model_validate_json(known["result"])
            subject, made = change(connection)
            sequence = connection.execute("SELECT coalesce(max(sequence), 0) + 1 FROM effects").fetchone()[0]
            connection.execute(
                "INSERT INTO effects (key, sequence, tool, args, result, subject) VALUES (?, ?, ?, ?, ?, ?)",
                (ctx.idempotency_key, sequence, tool, asked, made.model_dump_json(), subject),
            )
            if undoes is not None:
                connection.execute(
                    "UPDATE effects SET undone_by = ? WHERE subject = ? AND undone_by IS NULL AND key <> ?",
                    (ctx.idempotency_key, undoes, ctx.idempotency_key),
                )
            return made


def next_id(connection: sqlite3.Connection, table: str, prefix: str) -> str:
    """`E-1001`, `E-1002`, ...: inside the transaction of `apply`, so no two get the same."""
    count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own table names
    return f"{prefix}-{1001 + count}"


def find(connection: sqlite3.Connection, table: str, identifier: str) -> Row:
    """The row with this id.

    Raises:
        ToolError: there is none; not retried.
    """
    query = f"SELECT * FROM {table} WHERE id = ?"  # noqa: S608 - our own table names
    row: Row | None = connection.execute(query, (identifier,)).fetchone()
    if row is None:
        raise ToolError(f"there is no {identifier!r} in {table}", retry=False)
    return row


class State(BaseModel):
    id: str
    status: str


def mark(ctx: ToolContext, tool: str, table: str, identifier: str, status: str) -> State:
    """How most of these systems take an effect back: the row stays, and says so. One that says so already stays so.

    Raises:
        ToolError: there is no such row; not retried.
    """
    pause(0.4)

    def change(connection: sqlite3.Connection) -> tuple[str, State]:
        find(connection, table, identifier)
        query = f"UPDATE {table} SET status = ? WHERE id = ?"  # noqa: S608 - our own table names
        connection.execute(query, (status, identifier))
        return identifier, State(id=identifier, status=status)

    return apply(ctx, tool, {"id": identifier}, State, change, undoes=identifier)


def balance(connection: sqlite3.Connection, account: str) -> int:
    """What an account holds, in cents."""
    row = connection.execute("SELECT cents FROM balances WHERE account = ?", (account,)).fetchone()
    return 0 if row is None else int(row["cents"])


def move(connection: sqlite3.Connection, source: str, target: str, cents: int) -> None:
    """Move money between accounts. No account goes below nothing."""
    connection.execute("UPDATE balances SET cents = cents - ? WHERE account = ?", (cents, source))
    connection.execute(
        "INSERT INTO balances VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents",
        (target, cents),
    )


def pause(seconds: float) -> None:
    """Take as long as a real system might, times `SUREFOOT_PACE` (0: no time at all)."""
    time.sleep(seconds * float(os.environ.get("SUREFOOT_PACE", "1")))


def _connect() -> sqlite3.Connection:
    path = database()
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    if _version(connection) == len(VERSIONS):
        return
    # Two workers may get here at once: the second waits for the first, then finds everything in place.
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for added in VERSIONS[_version(connection) :]:
            for statement in added.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(VERSIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
