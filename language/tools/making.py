"""What all kinds of declared tools are made with: schemas that are mended, specs, mistakes at their places."""

from collections.abc import Callable, Sequence
from typing import Any

from contracts.base import Json, parse_duration
from contracts.connections import Common, Declaration, DeclaredTool, HttpCall, McpCall, SqlCall
from contracts.tools import Effect, ToolSpec
from language.mend import Wrong, mend
from language.source import Path, Source

DEFAULT_TIMEOUT = parse_duration("30s")

ReadFile = Callable[[str], str | None]
"""The text of a file by its path from the folder of the `tools.yaml`; None when there is none."""


class Making:
    """The tools made so far, each with its place in the file.

    `folder`: where the file lies. `read`: reads what lies beside it.
    """

    def __init__(self, source: Source, folder: str, read: ReadFile) -> None:
        self.source = source
        self.folder = folder
        self.read = read
        self.made: list[tuple[Path, DeclaredTool]] = []

    def spec(
        self,
        name: str,
        tool: Declaration,
        group: Common,
        at: Path,
        parameters: dict[str, Any],
        returns: dict[str, Any],
        effect: Effect,
        *,
        outside: bool,
    ) -> ToolSpec:
        effect = tool.effect or effect
        if tool.check is not None and (effect == "read" or tool.idempotent):
            self.report((*at, "check"), f"`{name}` needs no check", "a check is for a write that is not idempotent")
        return ToolSpec(
            name=name,
            description=tool.description.strip(),
            effect=effect,
            idempotent=bool(tool.idempotent) and effect == "write",
            untrusted=_said(tool.untrusted, group.untrusted, default=True),
            sensitive=_said(tool.sensitive, group.sensitive, default=False),
            outside=_said(tool.outside, group.outside, default=outside),
            timeout=tool.timeout or group.timeout or DEFAULT_TIMEOUT,
            rate=tool.rate,
            retry=tool.retry or group.retry,
            check=tool.check,
            parameters=parameters,
            returns=returns,
        )

    def add(self, at: Path, spec: ToolSpec, call: HttpCall | SqlCall | McpCall, group: str, said: Common) -> None:
        self.made.append((at, DeclaredTool(spec=spec, call=call, group=group, group_rate=said.rate)))

    def schemas(self, tool: Declaration, at: Path, also: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of arguments and result. `also`: arguments that need not be declared; they are text."""
        properties = {**{name: {"type": "string"} for name in also}, **tool.arguments}
        required = [
            name for name, schema in properties.items() if not isinstance(schema, dict) or "default" not in schema
        ]
        parameters, wrong = mend({"type": "object", "properties": properties, "required": required})
        for each in wrong:
            self.wrong(each, (*at, "arguments", *each.path[1:]))
        returns, wrong = mend(tool.result)
        for each in wrong:
            self.wrong(each, (*at, "result", *each.path))
        return {**parameters, "properties": parameters.get("properties", {}), "additionalProperties": False}, returns

    def mended(self, schema: Json, at: Path, what: str) -> dict[str, Any]:
        """A schema that lies in another file."""
        without_references = "#/$defs/" in str(schema) and "$defs" not in (schema or {})
        made, wrong = mend(schema)
        for each in wrong:
            inside = ".".join(map(str, each.path))
            if not (without_references and not each.path):
                self.report(at, f"the schema of {what} is wrong" + (f" at {inside}" if inside else ""), each.message)
        return made

    def wrong(self, wrong: Wrong, at: Path) -> None:
        self.report(at, wrong.message, wrong.hint)

    def report(self, at: Path, message: str, hint: str) -> None:
        self.source.report(self.source.place(at), message, hint)


def _said(*values: bool | None, default: bool) -> bool:
    return next((value for value in values if value is not None), default)
