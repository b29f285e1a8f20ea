"""The screen as an SVG, for pages that show what the demo looks like."""

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

WIDTH = 104


def save_picture(seen: Observation, header: RenderableType, question: str, path: Path) -> None:
    """Draw the moment at which the demo asks: header, plan, what is decided on, the prompt."""
    console = _recorder()
    now = datetime.now(UTC)
    plan = seen.without_waiting()
    console.print(header, run_screen(plan, UNICODE, now, width=WIDTH), sep="\n")
    for waiting in seen.view.waiting:
        console.print("", approval(seen.view, waiting, UNICODE, now, commands=False), "", sep="\n")
    console.print(Text(question, style="bold"))
    _save(console, "make demo", path)


def save_screen(seen: Observation, path: Path) -> None:
    """Draw a run as `starter.py status` shows it."""
    console = _recorder()
    console.print(run_screen(seen, UNICODE, datetime.now(UTC), width=WIDTH))
    _save(console, "starter.py status", path)


def _recorder() -> Console:
    return Console(file=io.StringIO(), record=True, width=WIDTH, theme=THEME, highlight=False, color_system="truecolor")


def _save(console: Console, title: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title=title, unique_id="surefoot")
