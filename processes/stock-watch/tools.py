"""What suppliers offer, what we order from them, and how it comes into the warehouse."""

import sqlite3

from pydantic import BaseModel, Field

from contracts.tools import ToolContext, ToolError, tool
from processes.business import State, apply, find, mark, next_id, pause, read


class Offer(BaseModel):
    offer: str
    supplier: str
    sku: str
    price: float = Field(description="EUR a piece")
    minimum: int = Field(description="pieces that must be taken at least")
    days: int


class Purchase(BaseModel):
    id: str
    supplier: str
    sku: str
    quantity: int
    total: float = Field(description="EUR")
    days: int


class Receipt(BaseModel):
    id: str
    purchase: str
    sku: str
    quantity: int
    available: int = Field(description="pieces on the shelf now")


@tool(name="market.read_offers", effect="read", timeout="20s")
def read_offers(sku: str) -> list[Offer]:
    """What suppliers offer an article for, cheapest first."""
    pause(0.5)
    with read() as db:
        rows = db.execute("SELECT * FROM offers WHERE sku = ? ORDER BY price", (sku,)).fetchall()
    return [
        Offer(
            offer=row["id"],
            supplier=row["supplier"],
            sku=sku,
            price=row["price"],
            minimum=row["minimum"],
            days=row["days"],
        )
        for row in rows
    ]


@tool(name="purchasing.order", effect="write", idempotent=True, timeout="1m")
def order(ctx: ToolContext, offer: str, quantity: int, total: float) -> Purchase:
    """Order from a supplier, for the total that was agreed to. Refused when the offer comes to another one."""
    pause(0.7)

    def change(db: sqlite3.Connection) -> tuple[str, Purchase]:
        row = find(db, "offers", offer)
        if quantity < row["minimum"]:
            raise ToolError(f"{row['supplier']} sells {row['minimum']} pieces at least, not {quantity}", retry=False)
        if abs(row["price"] * quantity - total) > 0.005:
            asked = row["price"] * quantity
            raise ToolError(f"{quantity} pieces cost {asked:.2f}, not the {total:.2f} that was agreed to", retry=False)
        purchase = Purchase(
            id=next_id(db, "purchases", "PU"),
            supplier=row["supplier"],
            sku=row["sku"],
            quantity=quantity,
            total=total,
            days=row["days"],
        )
        values = (purchase.id, purchase.supplier, purchase.sku, quantity, total, purchase.days, "ordered")
        db.execute("INSERT INTO purchases VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return purchase.id, purchase

    args = {"offer": offer, "quantity": quantity, "total": total}
    return apply(ctx, "purchasing.order", args, Purchase, change)


@tool(name="purchasing.cancel", effect="write", idempotent=True, timeout="30s")
def cancel(ctx: ToolContext, purchase: str) -> State:
    """Cancel an order at the supplier's."""
    return mark(ctx, "purchasing.cancel", "purchases", purchase, "cancelled")


@tool(name="warehouse.book_in", effect="write", idempotent=True, timeout="30s")
def book_in(ctx: ToolContext, purchase: str, quantity: int) -> Receipt:
    """Put what a supplier has delivered on the shelf."""
    pause(0.5)

    def change(db: sqlite3.Connection) -> tuple[str, Receipt]:
        sku = find(db, "purchases", purchase)["sku"]
        number = next_id(db, "receipts", "G")
        db.execute("UPDATE stock SET available = available + ? WHERE sku = ?", (quantity, sku))
        db.execute("UPDATE purchases SET status = 'delivered' WHERE id = ?", (purchase,))
        db.execute("INSERT INTO receipts VALUES (?, ?, ?, ?, 'booked')", (number, purchase, sku, quantity))
        available = db.execute("SELECT available FROM stock WHERE sku = ?", (sku,)).fetchone()[0]
        return number, Receipt(id=number, purchase=purchase, sku=sku, quantity=quantity, available=available)

    return apply(ctx, "warehouse.book_in", {"purchase": purchase, "quantity": quantity}, Receipt, change)


@tool(name="warehouse.book_out", effect="write", idempotent=True, timeout="30s")
def book_out(ctx: ToolContext, receipt: str) -> State:
    """Take a delivery off the shelf again. Refused when some of it is promised to somebody already."""
    pause(0.5)

    def change(db: sqlite3.Connection) -> tuple[str, State]:
        row = find(db, "receipts", receipt)
        available = db.execute("SELECT available FROM stock WHERE sku = ?", (row["sku"],)).fetchone()[0]
        if row["status"] == "booked":
            if available < row["quantity"]:
                raise ToolError(f"only {available} of {row['quantity']} pieces are still on the shelf", retry=False)
            db.execute("UPDATE stock SET available = available - ? WHERE sku = ?", (row["quantity"], row["sku"]))
            db.execute("UPDATE receipts SET status = 'booked out' WHERE id = ?", (receipt,))
            db.execute("UPDATE purchases SET status = 'ordered' WHERE id = ?", (row["purchase"],))
        return receipt, State(id=receipt, status="booked out")

    return apply(ctx, "warehouse.book_out", {"receipt": receipt}, State, change, undoes=receipt)
