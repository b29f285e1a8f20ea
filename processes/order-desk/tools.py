"""The shop's orders, the warehouse's shelves and the carriers."""

import sqlite3

from pydantic import BaseModel, Field

from contracts.tools import ToolContext, ToolError, tool
from processes.business import State, apply, find, next_id, pause, read


class Order(BaseModel):
    order: str
    customer: str
    email: str
    sku: str
    name: str
    quantity: int
    kilograms: float = Field(description="of all pieces")
    within_days: int = Field(description="when the customer wants it")


class Reservation(BaseModel):
    id: str
    sku: str
    reserved: int
    missing: int = Field(description="pieces that were asked for and are not there")


class Carrier(BaseModel):
    name: str
    price: float = Field(description="EUR")
    days: int


class Shipment(BaseModel):
    id: str
    carrier: str
    quantity: int


@tool(name="shop.read_order", effect="read", timeout="20s")
def read_order(order: str) -> Order:
    """An order of the shop: who wants how much of what, and when."""
    pause(0.3)
    with read() as db:
        row = find(db, "customer_orders", order)
        goods = db.execute("SELECT * FROM stock WHERE sku = ?", (row["sku"],)).fetchone()
    return Order(
        order=order,
        customer=row["customer"],
        email=row["email"],
        sku=row["sku"],
        name=goods["name"],
        quantity=row["quantity"],
        kilograms=goods["kilograms"] * row["quantity"],
        within_days=row["within_days"],
    )


@tool(name="warehouse.reserve", effect="write", idempotent=True, timeout="30s")
def reserve(ctx: ToolContext, order: str, sku: str, quantity: int) -> Reservation:
    """Put pieces aside for an order, as many as there are."""
    pause(0.5)

    def change(db: sqlite3.Connection) -> tuple[str, Reservation]:
        row = db.execute("SELECT available FROM stock WHERE sku = ?", (sku,)).fetchone()
        if row is None:
            raise ToolError(f"the warehouse has no {sku!r}", retry=False)
        taken = min(quantity, row["available"])
        number = next_id(db, "reservations", "R")
        db.execute("UPDATE stock SET available = available - ? WHERE sku = ?", (taken, sku))
        db.execute("INSERT INTO reservations VALUES (?, ?, ?, ?, 'held')", (number, order, sku, taken))
        return number, Reservation(id=number, sku=sku, reserved=taken, missing=quantity - taken)

    args = {"order": order, "sku": sku, "quantity": quantity}
    return apply(ctx, "warehouse.reserve", args, Reservation, change)


@tool(name="warehouse.release", effect="write", idempotent=True, timeout="30s")
def release(ctx: ToolContext, reservation: str) -> State:
    """Put what was set aside back on the shelf."""
    pause(0.4)

    def change(db: sqlite3.Connection) -> tuple[str, State]:
        row = find(db, "reservations", reservation)
        if row["status"] != "released":
            db.execute("UPDATE stock SET available = available + ? WHERE sku = ?", (row["quantity"], row["sku"]))
            db.execute("UPDATE reservations SET status = 'released' WHERE id = ?", (reservation,))
        return reservation, State(id=reservation, status="released")

    return apply(ctx, "warehouse.release", {"reservation": reservation}, State, change, undoes=reservation)


@tool(name="shipping.read_carriers", effect="read", timeout="20s")
def read_carriers(kilograms: float) -> list[Carrier]:
    """The carriers that take this weight, cheapest first, with their price and how long they need."""
    pause(0.4)
    with read() as db:
        rows = db.execute("SELECT * FROM carriers WHERE most_kilograms >= ? ORDER BY price", (kilograms,)).fetchall()
    return [Carrier(name=row["name"], price=row["price"], days=row["days"]) for row in rows]


@tool(name="warehouse.ship", effect="write", idempotent=True, timeout="1m")
def ship(ctx: ToolContext, order: str, carrier: str) -> Shipment:
    """Hand everything that is set aside for an order to a carrier."""
    pause(0.7)

    def change(db: sqlite3.Connection) -> tuple[str, Shipment]:
        held = db.execute(
            "SELECT sum(quantity) FROM reservations WHERE customer_order = ? AND status = 'held'", (order,)
        ).fetchone()[0]
        if not held:
            raise ToolError(f"nothing is set aside for {order}", retry=False)
        if db.execute("SELECT 1 FROM carriers WHERE name = ?", (carrier,)).fetchone() is None:
            raise ToolError(f"there is no carrier {carrier!r}", retry=False)
        shipment = Shipment(id=next_id(db, "shipments", "P"), carrier=carrier, quantity=held)
        db.execute("UPDATE reservations SET status = 'shipped' WHERE customer_order = ? AND status = 'held'", (order,))
        db.execute("INSERT INTO shipments VALUES (?, ?, ?, ?, 'on its way')", (shipment.id, order, carrier, held))
        return shipment.id, shipment

    return apply(ctx, "warehouse.ship", {"order": order, "carrier": carrier}, Shipment, change)


@tool(name="warehouse.call_back", effect="write", idempotent=True, timeout="1m")
def call_back(ctx: ToolContext, shipment: str) -> State:
    """Have a shipment brought back; what was in it is set aside again."""
    pause(0.7)

    def change(db: sqlite3.Connection) -> tuple[str, State]:
        row = find(db, "shipments", shipment)
        db.execute("UPDATE shipments SET status = 'called back' WHERE id = ?", (shipment,))
        db.execute(
            "UPDATE reservations SET status = 'held' WHERE customer_order = ? AND status = 'shipped'",
            (row["customer_order"],),
        )
        return shipment, State(id=shipment, status="called back")

    return apply(ctx, "warehouse.call_back", {"shipment": shipment}, State, change, undoes=shipment)
