"""The code blocks of a Markdown page, with what a comment right above each says about it.

`<!-- file: PATH -->` the block is that file; `<!-- background -->` its command keeps running; `<!-- exit: N -->` its
commands end with that status; `<!-- elsewhere -->` another check runs it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

_BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    note: str

    @property
    def file(self) -> str | None:
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None

    @property
    def exit_status(self) -> int:
        return int(self.note.removeprefix("exit: ")) if self.note.startswith("exit: ") else 0

    @property
    def commands(self) -> list[str]:
        """The lines after `$ `, those that end with a backslash joined with the next."""
        joined = self.text.replace("\\\n", " ")
        return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page.name, line, found["language"], found["text"], (found["note"] or "").strip())
