"""What a command prints, and how it ends: results to stdout, everything said beside them to stderr."""

import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TextIO

from pydantic_core import to_jsonable_python
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from contracts.base import Json
from contracts.errors import CallerError, DefinitionInvalid, ServerUnreachable, SurefootError
from contracts.plain import plain

NARROW = 80
THEME = Theme(
    {
        "pending": "dim",
        "running": "cyan",
        "waiting": "yellow",
        "attention": "bold red",
        "completed": "green",
        "skipped": "dim",
        "failed": "red",
        "cancelled": "dim",
        "undoing": "magenta",
        "undone": "magenta",
        "command": "bold",
        "faint": "dim",
        "name": "bold",
        "removed": "red",
        "added": "green",
    }
)


class Exit(IntEnum):
    """The exit statuses, as documented."""

    HOLDS = 0
    RUN_FAILED = 1
    WRONG_CALL = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


@dataclass(frozen=True)
class Output:
    """Where a command writes. With `as_json`, stdout carries one JSON document and nothing else."""

    out: Console
    err: Console
    as_json: bool = False

    @classmethod
    def standard(cls, *, as_json: bool = False) -> "Output":
        return cls(out=_console(sys.stdout), err=_console(sys.stderr), as_json=as_json)

    @property
    def live(self) -> bool:
        """Whether stdout is a terminal that can be redrawn."""
        return self.out.is_terminal and not self.out.is_dumb_terminal and not self.as_json

    @property
    def can_ask(self) -> bool:
        return self.live and sys.stdin.isatty()

    @property
    def unicode(self) -> bool:
        return self.out.encoding.lower().startswith("utf")

    def show(self, renderable: RenderableType, data: Json) -> None:
        """The result: `data` with --json, else what a person reads."""
        if self.as_json:
            self.document(data)
        else:
            self.out.print(renderable)

    def document(self, data: Json) -> None:
        self.out.file.write(json.dumps(to_jsonable_python(data, by_alias=True), indent=2, ensure_ascii=False) + "\n")

    def serving(self, message: str, data: Json) -> None:
        """That a server answers, while it still does: a program reads on without waiting for its end."""
        if self.as_json:
            self.document(data)
            self.out.file.flush()
        else:
            self.say(message)

    def say(self, message: str | Text) -> None:
        """Something beside the result."""
        self.err.print(message, soft_wrap=True, markup=False, highlight=False)

    def fail(self, error: SurefootError) -> None:
        """The one message of a call that went wrong."""
        # Of a file every mistake, however many: the error itself holds no more than Temporal carries easily.
        text = "\n".join(map(str, error.problems)) if isinstance(error, DefinitionInvalid) else str(error)
        self.err.print(Text("error: ", style="bold red") + Text(text, style="not bold"), soft_wrap=True)
        if self.as_json:
            said: dict[str, Json] = {"type": error.type_name(), "message": str(error)}
            if isinstance(error, DefinitionInvalid):
                said["problems"] = [problem.model_dump() for problem in error.problems]
            self.document({"error": said})


def status_of(error: SurefootError) -> Exit:
    if isinstance(error, ServerUnreachable):
        return Exit.UNREACHABLE
    return Exit.WRONG_CALL if isinstance(error, CallerError) else Exit.RUN_FAILED


def program() -> str:
    """How this program is called from where the user is: what a printed command starts with."""
    starter = Path(sys.argv[0])
    shown = from_here(starter) if starter.suffix == ".py" else "starter.py"
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return f"uv run {shlex.quote(shown)}"
    python = from_here(Path(sys.executable))
    if shutil.which("python") == sys.executable:
        python = "python"
    return f"{shlex.quote(python)} {shlex.quote(shown)}"


def command(*words: str) -> str:
    """A command of this program that can be pasted into a shell."""
    return f"{program()} {shlex.join(words)}"


def from_here(path: Path) -> str:
    """The path as seen from the working folder, when it is inside."""
    absolute = path if path.is_absolute() else Path.cwd() / path
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class _PlainConsole(Console):
    """Shows what processes, models and people wrote as text, also what a terminal would take for a command."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


def _console(stream: TextIO) -> Console:
    if isinstance(stream, io.TextIOWrapper):
        # A character the terminal cannot show is no reason to fail.
        stream.reconfigure(errors="replace")
    width = None if stream.isatty() or "COLUMNS" in os.environ else 120
    return _PlainConsole(file=stream, theme=THEME, width=width, highlight=False, soft_wrap=False)
