"""A screen as an SVG, for pages that show what it looks like."""

import io
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from cli.approvals import approval
from cli.marks import UNICODE
from cli.output import THEME
from cli.panels import run_screen
from runtime.watch import Observation

WIDTH = 120


def save_screen(parts: list[RenderableType], path: Path, *, title: str) -> None:
    """Draw these, one below the other."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, theme=THEME, highlight=False, color_system="truecolor"
    )
    console.print(*parts, sep="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title=title, unique_id="surefoot")


def save_picture(seen: Observation, header: RenderableType, question: str, path: Path) -> None:
    """Draw the moment at which the demo asks: header, plan, what is decided on, the prompt."""
    now = datetime.now(UTC)
    plan = seen.without_waiting()
    parts = [header, run_screen(plan, UNICODE, now, width=WIDTH, asks=True)]
    for waiting in seen.view.waiting:
        parts += ["", approval(seen.view, waiting, UNICODE, now, commands=False), ""]
    save_screen([*parts, Text(question, style="bold")], path, title="make demo")


def save_run(seen: Observation, path: Path) -> None:
    """Draw a run as `status` shows it."""
    drawn = run_screen(seen, UNICODE, datetime.now(UTC), width=WIDTH)
    save_screen([drawn], path, title=f"starter.py status {seen.view.run}")
