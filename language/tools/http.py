"""The section `http` of a `tools.yaml`."""

import re
from typing import Any
from urllib.parse import urlsplit

from contracts.connections import HttpCall, HttpGroup, HttpTool
from contracts.tools import Effect
from language.source import Path
from language.structure import close
from language.tools.making import Making
from language.tools.operations import IN_PATH

_LOCAL = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


def http_tools(making: Making, group: str, http: HttpGroup) -> None:
    for name, tool in http.tools.items():
        at = ("http", group, "tools", name)
        parameters, returns = making.schemas(tool, at, also=IN_PATH.findall(tool.path))
        call = _placed(making, http, tool, parameters, at)
        effect: Effect = "read" if tool.method in ("GET", "HEAD") else "write"
        outside = not is_local(http.base)
        spec = making.spec(f"{group}.{name}", tool, http, at, parameters, returns, effect, outside=outside)
        making.add(at, spec, call, group, http)


def _placed(making: Making, http: HttpGroup, tool: HttpTool, parameters: dict[str, Any], at: Path) -> HttpCall:
    """Where each argument goes in the request."""
    arguments = set(parameters["properties"])
    in_body = [tool.body] if isinstance(tool.body, str) else list(tool.body or ())
    for key, names in (("query", tool.query or ()), ("body", in_body), ("headers", tool.headers.values())):
        for name in names:
            if name not in arguments:
                making.report((*at, key), f"`{tool.path}` has no argument `{name}`", close(name, arguments))
    if tool.body is not None and tool.method in ("GET", "HEAD"):
        making.report((*at, "body"), f"{tool.method} has no body", "write `query`, or another `method`")
    for name in sorted(set(IN_PATH.findall(tool.path)) - set(parameters.get("required", []))):
        if "default" not in parameters["properties"][name]:
            said = f"`{name}` is in the path, and may be left out"
            making.report((*at, "arguments", name), said, "give it a `default`, or make it required")
    for header in sorted({each.lower() for each in http.headers} & {each.lower() for each in tool.headers}):
        said = f"the header {header} is the group's already"
        making.report((*at, "headers"), said, "an argument cannot replace it; take one of them out")
    rest = arguments - set(IN_PATH.findall(tool.path)) - set(tool.headers.values())
    whole = tool.body if isinstance(tool.body, str) else None
    if tool.query is None and tool.body is None:
        to_query = tool.method in ("GET", "HEAD", "DELETE")
        query, body = (rest, set()) if to_query else (set(), rest)
    elif tool.query is None:
        query, body = rest - set(in_body), set(in_body)
    else:
        query, body = set(tool.query), set(in_body) if tool.body is not None else rest - set(tool.query)
    return HttpCall(
        base=http.base.rstrip("/"),
        fixed=http.headers,
        max_bytes=http.max_bytes,
        method=tool.method,
        path=tool.path,
        query={name: name for name in sorted(query)},
        headers={argument: header for header, argument in sorted(tool.headers.items())},
        body={} if whole else {name: name for name in sorted(body)},
        whole=whole,
        key_header=tool.idempotent if isinstance(tool.idempotent, str) else None,
    )


def is_local(url: str) -> bool:
    """Whether an address is of this machine."""
    return bool(_LOCAL.fullmatch(urlsplit(url).netloc.rpartition("@")[2]))
