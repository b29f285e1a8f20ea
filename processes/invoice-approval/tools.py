"""The ERP and the bank, for paying invoices."""

import sqlite3

from pydantic import BaseModel, Field

from contracts.tools import ToolContext, ToolError, tool
from processes.business import OURS, apply, balance, find, move, next_id, pause, read


class Order(BaseModel):
    order: str = Field(description="number of the purchase order, or of the supplier's framework contract")
    supplier: str
    invoice: str
    total: float | None = Field(description="EUR ordered; null: a framework contract, which fixes no total")
    received: bool = Field(description="whether the goods have arrived")


class Supplier(BaseModel):
    supplier: str
    since: int | None = Field(description="year of the first order; null: not known to the ERP")
    invoices_paid: int
    open_disputes: int


class Transfer(BaseModel):
    transfer_id: str
    to: str
    amount: float
    balance: float = Field(description="EUR left on our account")


class Reversal(BaseModel):
    transfer_id: str
    status: str
    balance: float


@tool(name="erp.read_order", effect="read", timeout="20s")
def read_order(supplier: str, invoice: str) -> Order:
    """The purchase order an invoice refers to. An invoice without one falls under its supplier's framework contract."""
    pause(0.5)
    with read() as db:
        query = "SELECT * FROM purchase_orders WHERE invoice = ?"
        row = db.execute(query, (invoice,)).fetchone()
    if row is None:
        return Order(order="framework", supplier=supplier, invoice=invoice, total=None, received=True)
    if row["supplier"] != supplier:
        raise ToolError(f"invoice {invoice} belongs to an order from {row['supplier']}, not {supplier}", retry=False)
    return Order(
        order=row["id"], supplier=supplier, invoice=invoice, total=row["total"], received=bool(row["received"])
    )


@tool(name="erp.read_supplier", effect="read", timeout="20s")
def read_supplier(supplier: str) -> Supplier:
    """What the ERP knows of a supplier: since when, invoices paid so far, disputes that are open."""
    pause(0.3)
    with read() as db:
        row = db.execute("SELECT * FROM suppliers WHERE name = ?", (supplier,)).fetchone()
    if row is None:
        return Supplier(supplier=supplier, since=None, invoices_paid=0, open_disputes=0)
    return Supplier(
        supplier=supplier,
        since=row["since"],
        invoices_paid=row["invoices_paid"],
        open_disputes=row["open_disputes"],
    )


@tool(name="bank.transfer", effect="write", idempotent=True, timeout="1m")
def transfer(ctx: ToolContext, to: str, amount: float) -> Transfer:
    """Transfer EUR from our account to a supplier. Fails when the account does not hold that much."""
    pause(0.8)
    if amount <= 0:
        raise ToolError(f"an amount to transfer must be above 0, not {amount}", retry=False)
    cents = round(amount * 100)

    def change(db: sqlite3.Connection) -> tuple[str, Transfer]:
        held = balance(db, OURS)
        if held < cents:
            raise ToolError(f"our account holds {held / 100:.2f} EUR, not enough for {amount:.2f}", retry=False)
        move(db, OURS, to, cents)
        number = next_id(db, "transfers", "TR")
        db.execute("INSERT INTO transfers VALUES (?, ?, ?, 'done')", (number, to, cents))
        return number, Transfer(transfer_id=number, to=to, amount=cents / 100, balance=balance(db, OURS) / 100)

    return apply(ctx, "bank.transfer", {"to": to, "amount": amount}, Transfer, change)


@tool(name="bank.reverse", effect="write", idempotent=True, timeout="1m")
def reverse(ctx: ToolContext, transfer: str) -> Reversal:
    """Take a transfer back, given its `transfer_id`. One that is reversed already stays so."""
    pause(0.8)

    def change(db: sqlite3.Connection) -> tuple[str, Reversal]:
        row = find(db, "transfers", transfer)
        if row["status"] == "done":
            move(db, row["recipient"], OURS, row["cents"])
            db.execute("UPDATE transfers SET status = 'reversed' WHERE id = ?", (transfer,))
        return transfer, Reversal(transfer_id=transfer, status="reversed", balance=balance(db, OURS) / 100)

    return apply(ctx, "bank.reverse", {"transfer": transfer}, Reversal, change, undoes=transfer)
