"""The section `mcp` of a `tools.yaml`: tools as their servers described them when they were pinned."""

from typing import Any

from pydantic import ValidationError

from contracts.connections import Declaration, McpCall, McpServer, McpTool, PinnedTool, Pins
from contracts.tools import Effect
from language.structure import close
from language.tools.http import is_local
from language.tools.making import DEFAULT_TIMEOUT, Making
from language.tools.names import matching, own_names
from language.tools.pins import is_intact

LOCK = "tools.lock.json"
_URI = {"uri": {"type": "string", "description": "as the list of resources has it"}}
_PROMPT = {
    "name": {"type": "string", "description": "as the list of prompts has it"},
    "arguments": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}},
}
_LISTS: dict[str, list[tuple[str, str, tuple[str, dict[str, Any]]]]] = {
    "resources": [
        ("list_resources", "resources", ("The resources of {}: uri, name, description.", {})),
        ("read_resource", "resource", ("Read a resource of {} by its uri.", _URI)),
    ],
    "prompts": [
        ("list_prompts", "prompts", ("The prompts of {}: name, description, arguments.", {})),
        ("read_prompt", "prompt", ("Read a prompt of {} with its arguments put in.", _PROMPT)),
    ],
}


def read_pins(making: Making) -> Pins:
    text = making.read(LOCK)
    if text is None:
        return Pins()
    try:
        return Pins.model_validate_json(text)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        making.report(("mcp",), f"{LOCK} cannot be read: {said}", "write it anew with `starter.py tools pin`")
        return Pins()


def mcp_tools(making: Making, group: str, server: McpServer, pins: Pins) -> None:
    """Tools of the pins only: what a server says later is looked at before anybody calls it."""
    at = ("mcp", group)
    pin = "look at what it offers and pin it: `starter.py tools pin`"
    if group not in pins.servers:
        making.source.report(making.source.key(at), f"the MCP server `{group}` is not pinned", pin)
        return
    pinned = pins.servers[group]
    for index, pattern in enumerate(server.tools):
        if pinned and not matching((pattern,), pinned):
            making.report((*at, "tools", index), f"no pinned tool matches `{pattern}`", close(pattern, pinned))
    for pattern in server.say:
        if not matching((pattern,), pinned):
            place = making.source.key((*at, "say", pattern))
            making.source.report(place, f"no pinned tool matches `{pattern}`", close(pattern, pinned))
    chosen = matching(server.tools, pinned)
    words = own_names(chosen)
    for name in chosen:
        tool = pinned[name]
        if not is_intact(tool):
            making.source.report(making.source.key(at), f"{LOCK} was changed by hand at `{name}`", pin)
            continue
        _mcp_tool(making, group, server, name, tool, words[name])
    for what in ("resources", "prompts"):
        if getattr(server, what):
            _mcp_lists(making, group, server, what)


def _mcp_tool(making: Making, group: str, server: McpServer, name: str, pinned: PinnedTool, word: str) -> None:
    at = ("mcp", group, "say", name)
    said: dict[str, Any] = {}
    for pattern, each in server.say.items():
        if matching((pattern,), (name,)):
            said |= each.model_dump(exclude_none=True)
    word_of = McpTool.model_validate(said)
    hints = pinned.annotations
    effect: Effect = word_of.effect or ("read" if hints.get("readOnlyHint") is True else "write")
    idempotent = hints.get("idempotentHint") is True if word_of.idempotent is None else word_of.idempotent
    tool = Declaration.model_validate(
        {
            "description": pinned.description,
            "effect": effect,
            "idempotent": idempotent and effect == "write",
            **{key: value for key, value in said.items() if key not in ("name", "effect", "idempotent")},
        }
    )
    parameters = making.mended(pinned.parameters or {"type": "object"}, at, f"{name}'s arguments")
    returns = making.mended(pinned.returns, at, f"{name}'s result")
    full = f"{group}.{word_of.name or word}"
    spec = making.spec(full, tool, server, at, parameters, returns, effect, outside=_mcp_outside(server))
    call = McpCall(
        server=server, folder=making.folder, name=name, pinned=pinned, timeout=spec.timeout or DEFAULT_TIMEOUT
    )
    making.add(at, spec, call, group, server)


def _mcp_lists(making: Making, group: str, server: McpServer, what: str) -> None:
    for name, kind, (said, arguments) in _LISTS[what]:
        at = ("mcp", group, what)
        tool = Declaration(description=said.format(group), arguments=arguments, effect="read")
        parameters, returns = making.schemas(tool, at)
        spec = making.spec(
            f"{group}.{name}", tool, server, at, parameters, returns, "read", outside=_mcp_outside(server)
        )
        call = McpCall.model_validate(
            {"server": server, "folder": making.folder, "what": kind, "timeout": spec.timeout or DEFAULT_TIMEOUT}
        )
        making.add(at, spec, call, group, server)


def _mcp_outside(server: McpServer) -> bool:
    """What a command does with its arguments nobody here knows."""
    return server.url is None or not is_local(server.url)
