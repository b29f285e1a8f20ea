"""From the text of a `tools.yaml` to the tools it declares, or every mistake in it at once."""

from contracts.connections import DeclaredTool, ToolsFile
from contracts.errors import DefinitionInvalid
from contracts.tools import RESERVED
from language.shape import read_shape
from language.source import Path, Source, load_yaml
from language.tools.http import http_tools
from language.tools.making import Making, ReadFile
from language.tools.mcp import mcp_tools, read_pins
from language.tools.openapi import openapi_tools


def read_tools_file(text: str | bytes, file: str) -> ToolsFile:
    """Raises:
    DefinitionInvalid: every mistake of the file's shape.
    """
    source = load_yaml(text, file, begins="http:")
    found = read_shape(source, ToolsFile)
    if found is None or source.problems:
        raise _invalid(source)
    return found


def load_tools(text: str | bytes, file: str, *, folder: str, read: ReadFile) -> list[DeclaredTool]:
    """The tools of a `tools.yaml`.

    Args:
        file: how problems name it.
        folder: where it lies; commands start there, SQLite files are looked for there.
        read: reads what lies beside it: OpenAPI documents, and the pins of MCP servers.

    Raises:
        DefinitionInvalid: every mistake, each with its place.
    """
    source = load_yaml(text, file, begins="http:")
    found = read_shape(source, ToolsFile)
    if found is None:
        raise _invalid(source)
    making = Making(source, folder, read)
    for name, http in found.http.items():
        http_tools(making, name, http)
    for name, openapi in found.openapi.items():
        openapi_tools(making, name, openapi)
    if found.sql:
        from language.tools.sql import sql_tools  # Its parser is half of what a command needs to start.

        for name, sql in found.sql.items():
            sql_tools(making, name, sql)
    if found.mcp:
        pins = read_pins(making)
        for name, server in found.mcp.items():
            mcp_tools(making, name, server, pins)
    _check_names(making)
    if source.problems:
        raise _invalid(source)
    return [tool for _, tool in making.made]


def _check_names(making: Making) -> None:
    first: dict[str, Path] = {}
    for at, tool in making.made:
        name = tool.spec.name
        if RESERVED.fullmatch(name):
            said = f"the name `{name}` is kept for agents and processes that agents call on"
            making.source.report(making.source.key(at), said, "choose another name for the group")
        if name in first:
            line = making.source.key(first[name]).line
            said = f"tool `{name}` is declared in line {line} already"
            making.source.report(making.source.key(at), said, "rename one with `name:`")
        first.setdefault(name, at)


def _invalid(source: Source) -> DefinitionInvalid:
    unique = {str(problem): problem for problem in source.problems}
    return DefinitionInvalid(sorted(unique.values(), key=lambda problem: (problem.file, problem.line, problem.column)))
