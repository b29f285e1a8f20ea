"""The systems a new employee needs to be known to: HR, the directory of accounts, helpdesk, learning, calendar."""

import sqlite3

from pydantic import BaseModel, Field

from contracts.tools import ToolContext, ToolError, tool
from processes.business import State, apply, find, mark, next_id, pause, read


class Employee(BaseModel):
    id: str
    name: str
    email: str


class Account(BaseModel):
    id: str
    system: str
    username: str


class Item(BaseModel):
    sku: str
    name: str
    price: float = Field(description="EUR")
    memory_gb: int
    graphics: bool = Field(description="has a graphics card of its own")
    stock: int


class Needs(BaseModel):
    role: str
    memory_gb: int
    graphics: bool
    note: str


class HardwareOrder(BaseModel):
    id: str
    sku: str
    price: float


class Course(BaseModel):
    id: str
    title: str
    hours: float


class Enrollment(BaseModel):
    id: str
    course: str


class Meeting(BaseModel):
    id: str
    title: str
    day: str


@tool(name="hris.create_employee", effect="write", idempotent=True, timeout="30s")
def create_employee(ctx: ToolContext, name: str, role: str, start_date: str, manager: str) -> Employee:
    """Create the employee's record in the HR system. Gives the employee number and the company mail address."""
    pause(0.8)

    def change(db: sqlite3.Connection) -> tuple[str, Employee]:
        number = next_id(db, "employees", "E")
        local = ".".join(name.lower().split())
        taken = db.execute("SELECT count(*) FROM employees WHERE name = ? AND status = 'active'", (name,)).fetchone()[0]
        email = f"{local}{taken + 1 if taken else ''}@example.com"
        row = (number, name, email, role, start_date, manager, "active")
        db.execute("INSERT INTO employees VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return number, Employee(id=number, name=name, email=email)

    args = {"name": name, "role": role, "start_date": start_date, "manager": manager}
    return apply(ctx, "hris.create_employee", args, Employee, change)


@tool(name="hris.withdraw_employee", effect="write", idempotent=True, timeout="30s")
def withdraw_employee(ctx: ToolContext, employee: str) -> State:
    """Withdraw an employee's record, for a hire that does not take place."""
    return mark(ctx, "hris.withdraw_employee", "employees", employee, "withdrawn")


@tool(name="directory.create_account", effect="write", idempotent=True, timeout="30s")
def create_account(ctx: ToolContext, employee: str, system: str) -> Account:
    """Create an employee's account in one system, such as `email`, `chat` or `vpn`."""
    pause(0.9)

    def change(db: sqlite3.Connection) -> tuple[str, Account]:
        username = find(db, "employees", employee)["email"].partition("@")[0]
        account = Account(id=next_id(db, "accounts", "A"), system=system, username=username)
        db.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, 'open')", (account.id, employee, system, username))
        return account.id, account

    return apply(ctx, "directory.create_account", {"employee": employee, "system": system}, Account, change)


@tool(name="directory.close_account", effect="write", idempotent=True, timeout="30s")
def close_account(ctx: ToolContext, account: str) -> State:
    """Close an account. One that is closed stays so."""
    return mark(ctx, "directory.close_account", "accounts", account, "closed")


@tool(name="helpdesk.read_hardware", effect="read", timeout="20s")
def read_hardware(memory_gb: int = 0, graphics: bool = False) -> list[Item]:
    """The machines that are in stock, cheapest first, with what each can do. Narrowed to those with at least
    `memory_gb` of memory and, where `graphics` is asked for, a graphics card of their own."""
    pause(0.5)
    with read() as db:
        query = "SELECT * FROM hardware WHERE stock > 0 AND memory_gb >= ? AND graphics >= ? ORDER BY price"
        rows = db.execute(query, (memory_gb, graphics)).fetchall()
    return [
        Item(
            sku=row["sku"],
            name=row["name"],
            price=row["price"],
            memory_gb=row["memory_gb"],
            graphics=bool(row["graphics"]),
            stock=row["stock"],
        )
        for row in rows
    ]


@tool(name="helpdesk.read_role_needs", effect="read", timeout="20s")
def read_role_needs(role: str) -> Needs:
    """What somebody in this role needs of a machine at least. A role without an entry gets the office standard."""
    pause(0.4)
    with read() as db:
        row = db.execute("SELECT * FROM role_needs WHERE role = ?", (role.lower(),)).fetchone()
    if row is None:
        return Needs(role=role, memory_gb=16, graphics=False, note="No entry for this role: the office standard.")
    return Needs(role=role, memory_gb=row["memory_gb"], graphics=bool(row["graphics"]), note=row["note"])


@tool(name="helpdesk.order_hardware", effect="write", idempotent=True, timeout="1m")
def order_hardware(ctx: ToolContext, employee: str, sku: str, price: float) -> HardwareOrder:
    """Order one piece of hardware, at the price that was agreed to. Refused when the catalog says another price."""
    pause(0.7)

    def change(db: sqlite3.Connection) -> tuple[str, HardwareOrder]:
        row = db.execute("SELECT * FROM hardware WHERE sku = ?", (sku,)).fetchone()
        if row is None:
            raise ToolError(f"there is no {sku!r} in the catalog", retry=False)
        if row["price"] != price:
            raise ToolError(f"{sku} costs {row['price']:.2f}, not the {price:.2f} that was agreed to", retry=False)
        order = HardwareOrder(id=next_id(db, "orders", "O"), sku=sku, price=price)
        db.execute("INSERT INTO orders VALUES (?, ?, ?, ?, 'ordered')", (order.id, employee, sku, price))
        return order.id, order

    args = {"employee": employee, "sku": sku, "price": price}
    return apply(ctx, "helpdesk.order_hardware", args, HardwareOrder, change)


@tool(name="helpdesk.cancel_order", effect="write", idempotent=True, timeout="30s")
def cancel_order(ctx: ToolContext, order: str) -> State:
    """Cancel an order of hardware. One that is cancelled stays so."""
    return mark(ctx, "helpdesk.cancel_order", "orders", order, "cancelled")


@tool(name="learning.courses_for", effect="read", timeout="20s")
def courses_for(role: str) -> list[Course]:
    """The courses everybody takes, and those of a role."""
    pause(0.4)
    with read() as db:
        query = "SELECT * FROM courses WHERE role IN ('*', ?) ORDER BY rowid"
        rows = db.execute(query, (role.lower(),)).fetchall()
    return [Course(id=row["id"], title=row["title"], hours=row["hours"]) for row in rows]


@tool(name="learning.enroll", effect="write", idempotent=True, timeout="30s")
def enroll(ctx: ToolContext, employee: str, course: str) -> Enrollment:
    """Enroll an employee in a course."""
    pause(0.6)

    def change(db: sqlite3.Connection) -> tuple[str, Enrollment]:
        find(db, "courses", course)
        enrollment = Enrollment(id=next_id(db, "enrollments", "L"), course=course)
        db.execute("INSERT INTO enrollments VALUES (?, ?, ?, 'enrolled')", (enrollment.id, employee, course))
        return enrollment.id, enrollment

    return apply(ctx, "learning.enroll", {"employee": employee, "course": course}, Enrollment, change)


@tool(name="learning.withdraw", effect="write", idempotent=True, timeout="30s")
def withdraw(ctx: ToolContext, enrollment: str) -> State:
    """Withdraw an enrollment. One that is withdrawn stays so."""
    return mark(ctx, "learning.withdraw", "enrollments", enrollment, "withdrawn")


@tool(name="calendar.book", effect="write", idempotent=True, timeout="30s")
def book(ctx: ToolContext, title: str, day: str, people: list[str]) -> Meeting:
    """Book a meeting on a day (2026-12-01) for some people."""
    pause(0.5)

    def change(db: sqlite3.Connection) -> tuple[str, Meeting]:
        meeting = Meeting(id=next_id(db, "meetings", "C"), title=title, day=day)
        row = (meeting.id, title, day, ", ".join(people), "booked")
        db.execute("INSERT INTO meetings VALUES (?, ?, ?, ?, ?)", row)
        return meeting.id, meeting

    return apply(ctx, "calendar.book", {"title": title, "day": day, "people": people}, Meeting, change)


@tool(name="calendar.cancel", effect="write", idempotent=True, timeout="30s")
def cancel_meeting(ctx: ToolContext, meeting: str) -> State:
    """Cancel a meeting. One that is cancelled stays so."""
    return mark(ctx, "calendar.cancel", "meetings", meeting, "cancelled")
