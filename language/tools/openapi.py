"""The section `openapi` of a `tools.yaml`."""

from pathlib import PurePath

from contracts.connections import Declaration, HttpCall, OpenApiGroup, OpenApiTool
from contracts.errors import DefinitionInvalid
from contracts.tools import Effect
from language.schema import schema_error
from language.source import load_yaml
from language.structure import close
from language.tools.http import is_local
from language.tools.making import Making
from language.tools.names import matching, own_names
from language.tools.operations import Operation, operations, server_of


def openapi_tools(making: Making, group: str, openapi: OpenApiGroup) -> None:
    """Tools of a document's operations that are chosen; its mistakes have their places in it."""
    at = ("openapi", group)
    text = making.read(openapi.document)
    if text is None:
        making.report((*at, "document"), f"there is no file {openapi.document}", "write its path from this file")
        return
    try:
        document = load_yaml(text, str(PurePath(making.source.file).parent / openapi.document))
    except DefinitionInvalid as error:
        making.source.problems += error.problems
        return
    found = operations(document)
    making.source.problems += document.problems
    base = (openapi.base or server_of(document) or "").rstrip("/")
    if found and not base:
        making.report(at, "the document names no server with a whole address", "write `base: https://...`")
    by_id = {operation.id: operation for operation in found}
    for name in openapi.operations:
        if found and name not in by_id:
            making.source.report(
                making.source.key((*at, "operations", name)), f"there is no operation `{name}`", close(name, by_id)
            )
    for index, pattern in enumerate(openapi.include):
        if found and not matching((pattern,), by_id):
            making.report((*at, "include", index), f"no operation matches `{pattern}`", close(pattern, by_id))
    chosen = matching(openapi.include, by_id)
    making.source.problems += [problem for each in found if each.id in chosen for problem in each.problems]
    words = own_names(chosen)
    for name in chosen:
        said = openapi.operations.get(name, OpenApiTool())
        _operation(making, group, openapi, by_id[name], said, said.name or words[name], base)


def _operation(
    making: Making, group: str, openapi: OpenApiGroup, operation: Operation, said: OpenApiTool, word: str, base: str
) -> None:
    at = ("openapi", group, "operations", operation.id)
    operation.leave_out_headers(openapi.headers)
    written = {"type": "object", "properties": operation.properties, "required": operation.required}
    parameters = making.mended({**written, "additionalProperties": False}, at, operation.id)
    returns = making.mended(operation.result, at, f"{operation.id}'s result")
    if operation.definitions:
        parts = {name: making.mended(each, at, name) for name, each in operation.definitions.items()}
        if "#/$defs/" in str(parameters):
            parameters["$defs"] = parts
        if "#/$defs/" in str(returns):
            returns["$defs"] = parts
        for what, schema in (("arguments", parameters), ("result", returns)):
            if wrong := schema_error(schema):
                making.report(at, f"the schema of {operation.id}'s {what} is wrong", wrong)
    call = HttpCall(
        base=base,
        fixed=openapi.headers,
        max_bytes=openapi.max_bytes,
        method=operation.method,
        path=operation.path,
        query=operation.query,
        headers=operation.headers,
        body=operation.body,
        whole=operation.whole,
        key_header=said.idempotent if isinstance(said.idempotent, str) else None,
    )
    tool = Declaration.model_validate(
        {
            "description": said.description or operation.description,
            **said.model_dump(exclude={"name", "description"}, exclude_unset=True),
        }
    )
    effect: Effect = "read" if operation.method in ("GET", "HEAD") else "write"
    outside = not is_local(base)
    spec = making.spec(f"{group}.{word}", tool, openapi, at, parameters, returns, effect, outside=outside)
    making.add(at, spec, call, group, openapi)
