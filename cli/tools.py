"""Commands about `tools.yaml` files: what they declare, what MCP servers offer, and what of it is pinned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Column, Table
from rich.text import Text

from cli.options import ToolsAction
from cli.output import Exit, Output
from cli.parts import Offers
from contracts.connections import DeclaredTool, Pins
from contracts.errors import CallerError, DefinitionInvalid, Problem
from language.tools.files import load_tools, read_tools_file
from language.tools.mcp import LOCK
from language.tools.pins import drift
from runtime.catalog import DECLARED_FILE, declared_files, reader, shown
from runtime.settings import load_settings


async def tools(output: Output, offers: Offers, action: ToolsAction, words: Sequence[str]) -> Exit:
    """`words`: files or folders; none for all that a worker with these settings would read.

    Raises:
        CallerError: there is no such file, or a server cannot be asked.
        DefinitionInvalid: every mistake of the files.
    """
    settings = load_settings()
    paths = [_file(word) for word in words] or declared_files(settings.folders)
    if action == "list":
        return _list(output, [tool for path in paths for tool in declared(path)])
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for path in paths:
        servers = read_tools_file(path.read_bytes(), shown(path)).mcp
        if not servers:
            continue
        offered = await offers({name: (server, str(path.parent)) for name, server in servers.items()}, settings.egress)
        lock = path.parent / LOCK
        known = Pins.model_validate_json(lock.read_bytes()) if lock.is_file() else Pins()
        found[shown(path)] = {group: drift(known.servers.get(group, {}), now) for group, now in offered.servers.items()}
        if action == "pin":
            lock.write_text(offered.model_dump_json(indent=1) + "\n", "utf-8")
    _show(output, found, action)
    changed = any(differences for groups in found.values() for differences in groups.values())
    return Exit.RUN_FAILED if changed and action == "check" else Exit.HOLDS


def declared(path: Path) -> list[DeclaredTool]:
    """Raises:
    DefinitionInvalid: every mistake of the file.
    """
    return load_tools(path.read_bytes(), shown(path), folder=str(path.parent), read=reader(path.parent))


def check_tools(path: Path) -> tuple[str | None, list[Problem]]:
    """A line for a `tools.yaml` that is right, or its mistakes."""
    if not path.is_file():
        return None, [Problem(file=str(path), line=1, column=1, message="there is no such file")]
    try:
        count = len(declared(path.resolve()))
    except DefinitionInvalid as error:
        return None, error.problems
    return f"{path}: {DECLARED_FILE} is right, {count} tools", []


def _file(word: str) -> Path:
    path = Path(word).expanduser().resolve()
    path = path / DECLARED_FILE if path.is_dir() else path
    if not path.is_file():
        raise CallerError(f"{word}: there is no such file; name a {DECLARED_FILE} or the folder it is in")
    return path


def _list(output: Output, found: list[DeclaredTool]) -> Exit:
    table = Table(
        Column("tool", no_wrap=True),
        Column("effect", no_wrap=True),
        Column("by", no_wrap=True),
        Column("", overflow="fold"),
        box=None,
        header_style="faint",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for tool in sorted(found, key=lambda tool: tool.spec.name):
        spec = tool.spec
        marks = [name for name in ("idempotent", "untrusted", "sensitive", "outside") if getattr(spec, name)]
        table.add_row(Text(spec.name), spec.effect, tool.call.kind, Text(", ".join(marks)))
    if not found and not output.as_json:
        output.say(f"no {DECLARED_FILE} declares tools; those of tools.py are in the worker's first lines")
        return Exit.HOLDS
    output.show(table, {"tools": [tool.spec.model_dump(mode="json") for tool in found]})
    return Exit.HOLDS


def _show(output: Output, found: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]], action: ToolsAction) -> None:
    lines: list[str] = []
    for file, groups in found.items():
        for group, differences in groups.items():
            said = "pinned" if action == "pin" else "as pinned" if not differences else "not as pinned"
            lines.append(f"{file}: {group} {said}")
            lines += [f"  {name}: {each}" for name, changes in differences.items() for each in changes]
    text = Text("\n".join(lines) or f"no MCP servers in any {DECLARED_FILE}", no_wrap=True, overflow="ignore")
    output.show(text, {"files": {file: dict(groups) for file, groups in found.items()}})
