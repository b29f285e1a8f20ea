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
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, theme=THEME, highlight=False, color_system="truecolor"
    )
    now = datetime.now(UTC)
    plan = seen.without_waiting()
    console.print(header, run_screen(plan, UNICODE, now, width=WIDTH), sep="\n")
    for waiting in seen.view.waiting:
        console.print("", approval(seen.view, waiting, UNICODE, now, commands=False), "", sep="\n")
    console.print(Text(question, style="bold"))
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="make demo", unique_id="surefoot")
