"""What departments need next year, and the budgets that are opened for it."""

import sqlite3
from typing import Literal

from pydantic import BaseModel, Field

from contracts.tools import ToolContext, ToolError, tool
from processes.business import State, apply, mark, next_id, pause, read


class Item(BaseModel):
    item: str
    purpose: str
    amount: float = Field(description="EUR a year")
    priority: Literal["must", "should", "could"]


class Needs(BaseModel):
    department: str
    items: list[Item]


class Claim(BaseModel):
    amount: float = Field(description="EUR a year, of all items")
    items: list[Item]


class Said(BaseModel):
    """A line of the thread. `about`: the item of the department that is asked, in its answer too."""

    kind: Literal["question", "answer"]
    by: str
    to: str
    about: str
    says: str


class Balance(BaseModel):
    claimed: float
    over_by: float = Field(description="EUR claimed above the total; below 0: still free")
    open_questions: int
    agreed: bool


class Budget(BaseModel):
    id: str
    department: str
    amount: float


@tool(name="planning.read_needs", effect="read", timeout="20s")
def read_needs(department: str) -> Needs:
    """What a department has written down for next year: what it must, should and could have."""
    pause(0.2)
    return Needs(department=department, items=_items(department))


@tool(name="planning.read_price", effect="read", timeout="20s")
def read_price(department: str, items: list[str]) -> Claim:
    """A department's claim, added up, for some of the items it has written down."""
    pause(0.2)
    known = {item.item: item for item in _items(department)}
    if unknown := [name for name in items if name not in known]:
        raise ToolError(f"{department} has not written down {', '.join(unknown)}", retry=False)
    chosen = [known[name] for name in items]
    return Claim(amount=sum(item.amount for item in chosen), items=chosen)


@tool(name="planning.read_balance", effect="read", timeout="20s")
def read_balance(total: float, claims: dict[str, Claim | None], thread: list[Said]) -> Balance:
    """How the claims stand against the total, and how many questions have no answer. Agreed: every department has
    claimed, nothing is above the total, nothing is open."""
    pause(0.2)
    claimed = sum(claim.amount for claim in claims.values() if claim is not None)
    answered = {(said.by, said.about) for said in thread if said.kind == "answer"}
    open_questions = sum(said.kind == "question" and (said.to, said.about) not in answered for said in thread)
    agreed = all(claims.values()) and claimed <= total and not open_questions
    return Balance(claimed=claimed, over_by=claimed - total, open_questions=open_questions, agreed=agreed)


@tool(name="finance.open_budget", effect="write", idempotent=True, timeout="30s")
def open_budget(ctx: ToolContext, year: int, department: str, amount: float, items: list[str]) -> Budget:
    """Open a department's budget for a year: from then on it can spend it."""
    pause(0.5)

    def change(db: sqlite3.Connection) -> tuple[str, Budget]:
        budget = Budget(id=next_id(db, "budgets", "B"), department=department, amount=amount)
        row = (budget.id, year, department, amount, ", ".join(items), "open")
        db.execute("INSERT INTO budgets VALUES (?, ?, ?, ?, ?, ?)", row)
        return budget.id, budget

    args = {"year": year, "department": department, "amount": amount, "items": items}
    return apply(ctx, "finance.open_budget", args, Budget, change)


@tool(name="finance.close_budget", effect="write", idempotent=True, timeout="30s")
def close_budget(ctx: ToolContext, budget: str) -> State:
    """Close a budget, so that nothing more is spent from it."""
    return mark(ctx, "finance.close_budget", "budgets", budget, "closed")


def _items(department: str) -> list[Item]:
    with read() as db:
        rows = db.execute("SELECT * FROM budget_needs WHERE department = ? ORDER BY rowid", (department,)).fetchall()
    if not rows:
        raise ToolError(f"there is no department {department!r}", retry=False)
    return [
        Item(item=row["item"], purpose=row["purpose"], amount=row["amount"], priority=row["priority"]) for row in rows
    ]
