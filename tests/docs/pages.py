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
        return [command for command, _ in self.session]

    @property
    def session(self) -> list[tuple[str, list[str]]]:
        """Each command with the lines that are shown below it as printed by it."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and line.strip():
                found[-1][1].append(line)
        return found

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def not_printed(shown: list[str], printed: str) -> list[str]:
    """The shown lines that were not printed in this order. `...` stands for anything, a line of it for any lines;
    how far columns are apart does not matter."""
    left = iter(_squeezed(printed).splitlines())
    missing = []
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in _squeezed(line).split("...")))
        if line.strip() != "..." and not any(pattern.fullmatch(each.strip()) for each in left):
            missing.append(line)
    return missing


def _squeezed(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text)


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page.name, line, found["language"], found["text"], (found["note"] or "").strip())
