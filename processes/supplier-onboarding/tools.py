"""What it takes to buy from a new supplier: public registers, a rating agency, the bank, the ERP's supplier records."""

import sqlite3

from pydantic import BaseModel, Field

from contracts.tools import ToolContext, ToolError, tool
from processes.business import OURS, State, apply, find, mark, move, next_id, pause, read

RATED_AFTER = 2
"""Years a company must have existed before the agency rates it."""
THIS_YEAR = 2026


class Company(BaseModel):
    number: str
    name: str
    country: str
    founded: int
    directors: list[str]


class Hit(BaseModel):
    name: str
    list: str


class Rating(BaseModel):
    number: str
    grade: str = Field(description="A (safe) to D (insolvent)")


class Accounts(BaseModel):
    number: str
    year: int
    revenue: float = Field(description="EUR")
    equity: float = Field(description="EUR")
    profit: float = Field(description="EUR")


class Record(BaseModel):
    id: str
    name: str
    status: str


class Cent(BaseModel):
    id: str
    iban: str
    holder: str = Field(description="the name the other bank gives for the account")


class Terms(BaseModel):
    id: str
    ceiling: float = Field(description="EUR of open orders at a time")
    payment_days: int
    status: str


@tool(name="register.read_company", effect="read", timeout="20s")
def read_company(name: str, country: str) -> Company:
    """A company in the commercial register of its country: its number, when it was founded, who directs it."""
    pause(0.4)
    with read() as db:
        row = db.execute("SELECT * FROM companies WHERE name = ? AND country = ?", (name, country)).fetchone()
    if row is None:
        raise ToolError(f"the register of {country} has no company {name!r}", retry=False)
    return Company(
        number=row["number"],
        name=row["name"],
        country=row["country"],
        founded=row["founded"],
        directors=row["directors"].split(", "),
    )


@tool(name="register.read_sanctions", effect="read", timeout="20s")
def read_sanctions(names: list[str]) -> list[Hit]:
    """Which of these people and companies are on a sanctions list, and on which. Empty: none."""
    pause(0.5)
    with read() as db:
        rows = [db.execute("SELECT * FROM sanctions WHERE name = ?", (name,)).fetchone() for name in names]
    return [Hit(name=row["name"], list=row["list"]) for row in rows if row is not None]


@tool(name="register.read_accounts", effect="read", timeout="20s")
def read_accounts(number: str) -> Accounts:
    """The latest annual accounts that a company has filed with the register."""
    pause(0.4)
    with read() as db:
        query = "SELECT * FROM annual_accounts WHERE company = ? ORDER BY year DESC"
        row = db.execute(query, (number,)).fetchone()
    if row is None:
        raise ToolError(f"{number} has filed no accounts yet", retry=False)
    return Accounts(number=number, year=row["year"], revenue=row["revenue"], equity=row["equity"], profit=row["profit"])


@tool(name="agency.read_rating", effect="read", timeout="20s")
def read_rating(number: str) -> Rating:
    """The rating agency's grade of a company."""
    pause(0.6)
    with read() as db:
        row = db.execute("SELECT * FROM companies WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise ToolError(f"the agency does not know {number}", retry=False)
    if row["rating"] is None:
        age = THIS_YEAR - row["founded"]
        reason = f"founded in {row['founded']}; the agency rates from {RATED_AFTER} full years on, this is {age}"
        raise ToolError(f"no rating of {row['name']}: {reason}", retry=False)
    return Rating(number=number, grade=row["rating"])


@tool(name="bank.send_cent", effect="write", idempotent=True, timeout="1m")
def send_cent(ctx: ToolContext, iban: str) -> Cent:
    """Send one cent to an account, and learn from the other bank whose it is."""
    pause(0.8)

    def change(db: sqlite3.Connection) -> tuple[str, Cent]:
        row = db.execute("SELECT * FROM bank_accounts WHERE iban = ?", (iban,)).fetchone()
        if row is None:
            raise ToolError(f"no bank has the account {iban}", retry=False)
        number = next_id(db, "transfers", "TR")
        move(db, OURS, iban, 1)
        db.execute("INSERT INTO transfers VALUES (?, ?, 1, 'done')", (number, iban))
        return number, Cent(id=number, iban=iban, holder=row["holder"])

    return apply(ctx, "bank.send_cent", {"iban": iban}, Cent, change)


@tool(name="bank.recall_cent", effect="write", idempotent=True, timeout="1m")
def recall_cent(ctx: ToolContext, transfer: str) -> State:
    """Ask for the cent back."""
    pause(0.8)

    def change(db: sqlite3.Connection) -> tuple[str, State]:
        row = find(db, "transfers", transfer)
        if row["status"] == "done":
            move(db, row["recipient"], OURS, row["cents"])
            db.execute("UPDATE transfers SET status = 'reversed' WHERE id = ?", (transfer,))
        return transfer, State(id=transfer, status="reversed")

    return apply(ctx, "bank.recall_cent", {"transfer": transfer}, State, change, undoes=transfer)


@tool(name="erp.create_supplier", effect="write", idempotent=True, timeout="30s")
def create_supplier(ctx: ToolContext, name: str, country: str, iban: str) -> Record:
    """Create a supplier's record. Nothing can be ordered from it until it is activated."""
    pause(0.6)

    def change(db: sqlite3.Connection) -> tuple[str, Record]:
        record = Record(id=next_id(db, "supplier_records", "S"), name=name, status="draft")
        row = (record.id, name, country, iban, 0, 0, record.status)
        db.execute("INSERT INTO supplier_records VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return record.id, record

    args = {"name": name, "country": country, "iban": iban}
    return apply(ctx, "erp.create_supplier", args, Record, change)


@tool(name="erp.withdraw_supplier", effect="write", idempotent=True, timeout="30s")
def withdraw_supplier(ctx: ToolContext, supplier: str) -> State:
    """Withdraw a supplier's record, for one that is not taken on."""
    return mark(ctx, "erp.withdraw_supplier", "supplier_records", supplier, "withdrawn")


@tool(name="erp.activate_supplier", effect="write", idempotent=True, timeout="30s")
def activate_supplier(ctx: ToolContext, supplier: str, ceiling: float, payment_days: int) -> Terms:
    """Let buyers order from a supplier, for up to `ceiling` EUR at a time, paid within `payment_days`."""
    pause(0.6)

    def change(db: sqlite3.Connection) -> tuple[str, Terms]:
        if find(db, "supplier_records", supplier)["status"] == "withdrawn":
            raise ToolError(f"{supplier} is withdrawn", retry=False)
        query = "UPDATE supplier_records SET ceiling = ?, payment_days = ?, status = 'active' WHERE id = ?"
        db.execute(query, (ceiling, payment_days, supplier))
        terms = Terms(id=supplier, ceiling=ceiling, payment_days=payment_days, status="active")
        return f"{supplier}/terms", terms

    args = {"supplier": supplier, "ceiling": ceiling, "payment_days": payment_days}
    return apply(ctx, "erp.activate_supplier", args, Terms, change)


@tool(name="erp.block_supplier", effect="write", idempotent=True, timeout="30s")
def block_supplier(ctx: ToolContext, supplier: str) -> State:
    """Let nobody order from a supplier any more."""
    pause(0.4)

    def change(db: sqlite3.Connection) -> tuple[str, State]:
        find(db, "supplier_records", supplier)
        db.execute("UPDATE supplier_records SET ceiling = 0, status = 'blocked' WHERE id = ?", (supplier,))
        return f"{supplier}/terms", State(id=supplier, status="blocked")

    return apply(ctx, "erp.block_supplier", {"supplier": supplier}, State, change, undoes=f"{supplier}/terms")
