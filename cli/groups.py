"""The commands as `--help` lists them: by what they are for."""

from typing import Any

from typer.core import TyperGroup

GROUPS = {
    "Runs": ("demo", "run", "status", "list", "log", "event"),
    "Deciding": ("inbox", "approve", "reject", "withdraw", "claim", "release", "delegate", "comment", "link"),
    "Operating": ("incidents", "repair", "pause", "resume", "note", "cancel", "rerun", "models", "notices", "people"),
    "Processes and tools": ("validate", "graph", "tools"),
    "Releases": ("replay", "deploy", "migrate"),
    "Servers": ("serve", "codec"),
}
"""Every command is in one of them."""


class Grouped(TyperGroup):
    """A help screen with a list for each group."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Both are of classes that typer keeps to itself."""
        width = max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), self.commands[name].get_short_help_str(formatter.width)) for name in names]
                )
