"""Icons, guides and figures of the terminal: with Unicode where the terminal has it, plain ASCII where not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from contracts.process import Saved
from contracts.run import Cost, RunStatus, StepStatus

TENTHS_UP_TO = 9.95
MINUTE = 60
HOUR = 3600
DAY = 86400
CENT = 0.01


@dataclass(frozen=True)
class Marks:
    """How statuses and the tree's guides are drawn."""

    icons: Mapping[str, str]
    branch: str
    last: str
    bar: str
    dot: str
    more: str

    def icon(self, status: StepStatus | RunStatus) -> str:
        return self.icons[status]


UNICODE = Marks(
    icons={
        "pending": "·",
        "running": "▶",
        "waiting": "◆",
        "attention": "▲",
        "completed": "✔",
        "skipped": "−",
        "failed": "✘",
        "cancelled": "■",
        "undoing": "↶",
        "undone": "↶",
    },
    branch="├─ ",
    last="└─ ",
    bar="│  ",
    dot="·",
    more="…",
)
ASCII = Marks(
    icons={
        "pending": ".",
        "running": ">",
        "waiting": "?",
        "attention": "!",
        "completed": "+",
        "skipped": "-",
        "failed": "x",
        "cancelled": "#",
        "undoing": "<",
        "undone": "<",
    },
    branch="|- ",
    last="`- ",
    bar="|  ",
    dot="-",
    more="...",
)


def took(start: datetime, end: datetime) -> str:
    """How long between two moments; never negative, clocks differ."""
    return lasting(max(0.0, (end - start).total_seconds()))


def lasting(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3m 20s`, `2h 05m`, `4d 03h`."""
    whole = int(seconds)
    if seconds < TENTHS_UP_TO:
        return f"{seconds:.1f} s"
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE}m {whole % MINUTE:02d}s"
    if whole < DAY:
        return f"{whole // HOUR}h {whole % HOUR // MINUTE:02d}m"
    return f"{whole // DAY}d {whole % DAY // HOUR:02d}h"


def dollars(amount: float) -> str:
    return f"${amount:.4f}" if 0 < amount < CENT else f"${amount:.2f}"


def cost_text(cost: Cost) -> str:
    """`$0.03, 4 model calls, 5,210 tokens`; says when a script answered, or a price is unknown."""
    if not cost.calls:
        return "no model calls"
    parts = [dollars(cost.amount), f"{cost.calls} model call{'s' if cost.calls != 1 else ''}"]
    if cost.tokens:
        parts.append(f"{cost.tokens:,} tokens")
    if cost.rehearsal:
        parts.append("answered by the rehearsal model")
    if cost.unpriced:
        parts.append(f"{cost.unpriced} without a known price")
    return ", ".join(parts)


def saved_text(saved: Saved) -> str:
    """`35 minutes of work by hand, 28.00 EUR`."""
    time = f"{saved.minutes:g} minutes" if saved.minutes < 2 * MINUTE else lasting(saved.minutes * MINUTE)
    money = f", {saved.money:,.2f} {saved.currency}" if saved.money else ""
    return f"{time} of work by hand{money}"


def moment(at: datetime) -> str:
    """Local time, with its zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M %Z")
