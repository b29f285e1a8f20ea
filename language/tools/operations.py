"""OpenAPI 3 documents: their operations, with arguments, placement and schemas as HTTP tools have them."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from contracts.base import Json
from contracts.connections import METHODS, Method
from contracts.errors import Problem
from language.source import Path, Source

_SCHEMAS = "#/components/schemas/"
IN_PATH = re.compile(r"\{([^{}]+)\}")
_PATH = re.compile(r"/[^#\s]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
_ODD = re.compile(r"[^A-Za-z0-9._-]")
_BASE = re.compile(r"https?://[^/\s?#@{}]+(/[^\s?#{}]*)?")
_NOT_ARGUMENTS = frozenset({"accept", "content-type", "authorization"})
"""Headers that OpenAPI says to leave out of the list of parameters."""


@dataclass
class Operation:
    """One operation. `query`, `headers`, `body`: argument to the name it has there; `whole`: the argument that is the
    body. `place`: where in the document it is. `problems`: what is wrong with it, for those who want it."""

    id: str
    method: Method
    path: str
    description: str
    place: Path
    properties: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)
    whole: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    definitions: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def leave_out_headers(self, fixed: Iterable[str]) -> None:
        """Arguments for headers that are sent as somebody wrote them, such as a key, are nobody else's to give."""
        names = {name.lower() for name in fixed}
        for argument in [argument for argument, header in self.headers.items() if header.lower() in names]:
            del self.headers[argument], self.properties[argument]
            self.required = [name for name in self.required if name != argument]


def server_of(source: Source) -> str | None:
    """The address of the first server, when it is a whole one without variables."""
    servers = _dict(source.data).get("servers")
    url = _dict(servers[0]).get("url") if isinstance(servers, list) and servers else None
    return url.rstrip("/") if isinstance(url, str) and _BASE.fullmatch(url) else None


def operations(source: Source) -> list[Operation]:
    """Every operation of the document; what cannot be read is reported."""
    data = _dict(source.data)
    version = str(data.get("openapi", ""))
    if not version.startswith("3."):
        found = f"`swagger: {data['swagger']}`" if "swagger" in data else "no `openapi: 3.x`"
        source.report(source.place(()), f"this is no OpenAPI 3 document: {found}", "convert it to OpenAPI 3.0 or 3.1")
        return []
    return list(_Document(source, data).operations())


class _Document:
    def __init__(self, source: Source, data: Mapping[str, Any]) -> None:
        self._source = source
        self._data = data

    def operations(self) -> Iterator[Operation]:
        seen: set[str] = set()
        for path, written_item in _dict(self._data.get("paths")).items():
            at = ("paths", str(path))
            if str(path).startswith("x-"):
                continue
            if not _PATH.fullmatch(str(path)):
                self._report(at, f"{path!r} is no path", "write one that begins with / and has no blanks")
                continue
            item = self._resolve(written_item, at)
            for method in METHODS:
                written = item.get(method.lower())
                if not isinstance(written, dict):
                    continue
                before = len(self._source.problems)
                made = self._operation(method, str(path), written, item.get("parameters"), (*at, method.lower()))
                if made.id in seen:
                    self._report(made.place, f"`{made.id}` is the id of two operations", "give each an id of its own")
                seen.add(made.id)
                made.problems = self._source.problems[before:]
                del self._source.problems[before:]
                yield made

    def _operation(self, method: Method, path: str, written: dict[str, Any], shared: Json, place: Path) -> Operation:
        said = [str(written[key]).strip() for key in ("summary", "description") if written.get(key)]
        made = Operation(
            id=str(written.get("operationId") or f"{method} {path}"),
            method=method,
            path=path,
            description="\n".join(dict.fromkeys(said)),
            place=place,
        )
        inner = [((*place, "parameters", index), each) for index, each in enumerate(_list(written.get("parameters")))]
        outer = [((*place[:2], "parameters", index), each) for index, each in enumerate(_list(shared))]
        parameters: dict[tuple[str, str], tuple[Path, dict[str, Any]]] = {}
        for at, each in (*outer, *inner):
            parameter = self._resolve(each, at)
            if not parameter:
                continue
            parameters[str(parameter.get("in")), str(parameter.get("name"))] = (at, parameter)
        for at, parameter in parameters.values():
            self._parameter(made, parameter, at)
        if "requestBody" in written:
            self._body(made, self._resolve(written["requestBody"], (*place, "requestBody")), (*place, "requestBody"))
        self._result(made, written, place)
        for name in sorted(set(IN_PATH.findall(made.path)) - set(made.properties)):
            self._report(place, f"the path has `{{{name}}}`, which is no parameter", "declare it with `in: path`")
        return made

    def _parameter(self, made: Operation, parameter: dict[str, Any], at: Path) -> None:
        name, where = str(parameter.get("name")), parameter.get("in")
        if where == "header" and name.lower() in _NOT_ARGUMENTS:
            return
        if where == "cookie":
            if parameter.get("required"):
                self._report(at, f"`{made.id}` needs the cookie `{name}`", "leave it out with `include`")
            return
        if where == "header" and not _HEADER.fullmatch(name):
            self._report(at, f"{name!r} is no name of a header", "write letters, digits and `-`")
            return
        if where not in ("path", "query", "header"):
            self._report(at, f"the parameter `{name}` is in {where!r}", "write path, query or header")
            return
        argument = name if name not in made.properties else f"{where}_{name}"
        if where == "path":
            made.path = made.path.replace(f"{{{name}}}", f"{{{argument}}}")
        else:
            (made.query if where == "query" else made.headers)[argument] = name
        content: Json = next(iter(_dict(parameter.get("content")).values()), {})
        schema = self._schema(made, parameter.get("schema", _dict(content).get("schema", {})), (*at, "schema"))
        if parameter.get("description") and isinstance(schema, dict):
            schema = {"description": str(parameter["description"]).strip(), **schema}
        made.properties[argument] = schema
        if parameter.get("required") or where == "path":
            made.required.append(argument)

    def _body(self, made: Operation, body: dict[str, Any], at: Path) -> None:
        content = _dict(body.get("content"))
        kind = next((kind for kind in content if _is_json(kind)), None)
        if kind is None:
            if body.get("required"):
                known = ", ".join(content) or "nothing"
                self._report(at, f"`{made.id}` takes {known} and no JSON", "leave it out with `include`")
            return
        written = _dict(content[kind]).get("schema", {})
        schema = self._schema(made, written, (*at, "content", kind, "schema"))
        plain = made.definitions[schema["$ref"].removeprefix("#/$defs/")] if set(schema) == {"$ref"} else schema
        properties = _dict(_dict(plain).get("properties"))
        is_flat = properties and not set(plain) & {
            "allOf",
            "anyOf",
            "oneOf",
            "additionalProperties",
            "patternProperties",
        }
        if is_flat and not set(properties) & set(made.properties):
            made.properties.update(properties)
            made.body = {name: name for name in properties}
            if body.get("required"):
                made.required += [name for name in _list(plain.get("required")) if name in properties]
            return
        made.whole = "body" if "body" not in made.properties else "request_body"
        made.properties[made.whole] = schema
        if body.get("required"):
            made.required.append(made.whole)

    def _result(self, made: Operation, written: dict[str, Any], place: Path) -> None:
        for status, response in _dict(written.get("responses")).items():
            if not str(status).startswith("2"):
                continue
            at = (*place, "responses", status)
            for kind, content in _dict(self._resolve(response, at).get("content")).items():
                if _is_json(kind):
                    made.result = self._schema(made, _dict(content).get("schema", {}), (*at, "content", kind, "schema"))
                    return

    def _schema(self, made: Operation, schema: Json, at: Path) -> Any:
        """The schema with its references pointing into `definitions`, which gets what they refer to."""
        if isinstance(schema, list):
            return [self._schema(made, each, (*at, index)) for index, each in enumerate(schema)]
        if not isinstance(schema, dict):
            return schema
        target = schema.get("$ref")
        if not isinstance(target, str):
            return {key: self._schema(made, value, (*at, key)) for key, value in schema.items()}
        # By a name that needs no escaping where references point to it.
        name = _ODD.sub("_", target.removeprefix(_SCHEMAS).removeprefix("#/"))
        if name != target.removeprefix(_SCHEMAS):
            name = f"{name}_{hashlib.sha256(target.encode()).hexdigest()[:8]}"
        if name not in made.definitions:
            made.definitions[name] = {}
            made.definitions[name] = self._schema(made, self._resolve(schema, at), at)
        return {**{key: value for key, value in schema.items() if key != "$ref"}, "$ref": f"#/$defs/{name}"}

    def _resolve(self, value: Json, at: Path) -> dict[str, Any]:
        """What is referred to, through references to references."""
        for _ in range(20):
            if not isinstance(value, dict):
                return {}
            target = value.get("$ref")
            if not isinstance(target, str):
                return value
            if not target.startswith("#/"):
                self._report((*at, "$ref"), f"`{target}` is in another file", "put all of the document in one file")
                return {}
            value = self._data
            for part in target[2:].split("/"):
                key = unquote(part).replace("~1", "/").replace("~0", "~")
                value = value[int(key)] if _is_index(value, key) else _dict(value).get(key)
            if value is None:
                self._report((*at, "$ref"), f"there is no `{target}`", "mend the reference")
                return {}
        self._report((*at, "$ref"), "references that refer to each other", "mend the reference")
        return {}

    def _report(self, at: Path, message: str, hint: str) -> None:
        self._source.report(self._source.place(at), message, hint)


def _is_index(value: Json, key: str) -> bool:
    return isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value)


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return plain in ("application/json", "*/*") or plain.endswith("+json")


def _dict(value: Json) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []
