"""`tools.yaml`: what it declares, and every mistake in it at its place."""

import json
from textwrap import dedent

import pytest

from contracts.connections import DeclaredTool, HttpCall
from contracts.errors import DefinitionInvalid
from language.schema import violations
from language.tools.files import load_tools
from language.tools.pins import changes, pinned

WRONG = """\
http:
  erp:
    base: erp.example.com
    headers: {Authorization: "Bearer ${ token }"}
    tols: {}
  shop:
    base: https://shop.example.com
    tools:
      Look:
        path: /look
      find:
        path: items
        method: FETCH
      place:
        path: /orders
        method: POST
        timeout: soon
sql:
  books:
    url: sqlite:///books.db
  more:
    url: sqlite:///more.db
    statements:
      gone: {sql: SELECT 1, effect: erase}
mcp:
  notes: {command: [notes], url: "https://notes.example.com/mcp"}
files: {}
"""
SECOND = """\
http:
  shop:
    base: https://shop.example.com
    tools:
      find:
        path: /items/{item}
        arguments: {size: {type: flot}}
        query: [colour]
      send:
        method: POST
        path: /mails
        result: {properties: {id: {type: foo}}}
        effect: read
        check: shop.find
sql:
  shop:
    url: sqlite:///books.db
    statements:
      find: {sql: "SELECT * FROM x WHERE a = :a AND b = :b", arguments: {a: str, c: str}}
      gone: {sql: DELETE FROM x}
      both: {sql: SELECT 1; SELECT 2}
      broken: {sql: SELECT FROM FROM}
  old:
    url: mysql://x/y
    query: true
openapi:
  none: {document: none.yaml}
mcp:
  notes: {command: [notes]}
"""


def tools(text: str, **files: str) -> dict[str, DeclaredTool]:
    found = load_tools(dedent(text), "tools.yaml", folder="/x", read=files.get)
    return {tool.spec.name: tool for tool in found}


def mistakes(text: str, **files: str) -> list[str]:
    with pytest.raises(DefinitionInvalid) as caught:
        tools(text, **files)
    return [str(problem) for problem in caught.value.problems]


def at_places(text: str, **files: str) -> list[tuple[str, str]]:
    """Line and column of each mistake with the beginning of what is said."""
    split = [mistake.split(": ", 1) for mistake in mistakes(text, **files)]
    return [(place.removeprefix("tools.yaml:"), said) for place, said in split]


def held(found: list[tuple[str, str]], expected: list[tuple[str, str]]) -> bool:
    return [place for place, _ in found] == [place for place, _ in expected] and all(
        part in said for (_, said), (_, part) in zip(found, expected, strict=True)
    )


def test_every_mistake_of_the_shape_at_once_with_its_place() -> None:
    found = at_places(WRONG)
    assert held(
        found,
        [
            ("3:5", "`tools` is missing"),
            ("3:11", "such as https://erp.example.com/api"),
            ("4:30", "only secrets can be put in here, as ${ secret('name') }"),
            ("5:5", "unknown key `tols` (did you mean `tools`?)"),
            ("9:7", "`Look` cannot be a name"),
            ("12:15", "write a path that begins with /"),
            ("13:17", "write 'GET', 'HEAD'"),
            ("17:18", "'soon' is no duration"),
            ("20:5", "no tools: add statements, or `query: true`"),
            ("24:37", "write 'read' or 'write'"),
            ("26:10", "give either `command`, such as [npx, notes-server], or `url`"),
            ("27:1", "unknown key `files` (there are: http, mcp, openapi, sql)"),
        ],
    ), found


def test_every_mistake_of_what_is_meant_at_once_with_its_place() -> None:
    found = at_places(SECOND)
    assert held(
        found,
        [
            ("7:34", "there is no type 'flot' (did you mean `float`?)"),
            ("8:16", "has no argument `colour`"),
            ("12:42", "there is no type 'foo'"),
            ("14:16", "a check is for a write that is not idempotent"),
            ("19:7", "tool `shop.find` is declared in line 5 already"),
            ("19:19", "`:b` is no argument"),
            ("19:85", "the statement has no `:c`"),
            ("20:19", "a statement that changes rows has `effect: write`"),
            ("21:19", "2 statements; write one"),
            ("22:21", "this is no SQL"),
            ("25:12", "`query: true` is for SQLite and PostgreSQL"),
            ("27:20", "there is no file none.yaml"),
            ("29:3", "the MCP server `notes` is not pinned"),
        ],
    ), found


def test_what_is_not_said_follows_from_what_a_tool_does() -> None:
    found = tools(
        """
        http:
          web:
            base: https://www.example.com
            untrusted: false
            tools:
              look: {path: "/{page}"}
              post: {method: POST, path: /, idempotent: Key, untrusted: true, rate: 10, timeout: 3s}
          here: {base: "http://localhost:8080", tools: {look: {path: /}}}
        sql:
          books: {url: "sqlite:///x", query: true}
        """
    )
    specs = {name: tool.spec for name, tool in found.items()}
    assert {name: (spec.effect, spec.outside, spec.untrusted) for name, spec in specs.items()} == {
        "web.look": ("read", True, False),
        "web.post": ("write", True, True),
        "here.look": ("read", False, True),
        "books.query": ("read", False, True),
    }
    post = specs["web.post"]
    assert (post.idempotent, post.rate, post.timeout and post.timeout.total_seconds()) == (True, 10, 3)
    assert specs["web.look"].parameters["required"] == ["page"]
    assert specs["web.look"].parameters["additionalProperties"] is False


JSON_PET = {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}
PETS = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://pets.example.com/v1/"}],
    "paths": {
        "/pets/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getPet",
                "summary": "One pet.",
                "parameters": [
                    {"name": "with[tags]", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}, "required": True},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}
                },
            },
            "put": {
                "operationId": "replace-pet",
                "requestBody": {
                    "required": True,
                    "content": JSON_PET,
                },
            },
        },
        "/pets": {
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}}
                }
            }
        },
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}},
        "schemas": {
            "Pet": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "nullable": True},
                    "parent": {"$ref": "#/components/schemas/Pet"},
                },
            }
        },
    },
}


def test_operations_of_an_openapi_document_become_tools() -> None:
    text = """
        openapi:
          pets:
            document: pets.json
            headers: {Authorization: {secret: pets.token}}
            operations: {replace-pet: {name: replace, idempotent: true}}
        """
    found = tools(text, **{"pets.json": json.dumps(PETS)})
    assert set(found) == {"pets.get_pet", "pets.replace", "pets.post_pets"}
    read, write = found["pets.get_pet"], found["pets.replace"]
    assert isinstance(read.call, HttpCall)
    assert (read.spec.effect, write.spec.effect, write.spec.idempotent) == ("read", "write", True)
    assert read.spec.description == "One pet."
    assert read.call.base == "https://pets.example.com/v1"
    assert read.call.fixed == {"Authorization": "${ secret('pets.token') }"}
    assert (read.call.query, read.call.headers) == ({"with[tags]": "with[tags]"}, {"X-Trace": "X-Trace"})
    assert read.spec.parameters["required"] == ["id", "X-Trace"]
    assert read.spec.returns["$defs"]["Pet"]["properties"]["name"] == {"type": ["string", "null"]}
    assert read.spec.returns["$defs"]["Pet"]["properties"]["parent"] == {"$ref": "#/$defs/Pet"}
    assert set(write.spec.parameters["properties"]) == {"id", "name", "parent"}
    assert write.spec.parameters["required"] == ["id", "name"]
    post = found["pets.post_pets"].call
    assert isinstance(post, HttpCall)
    assert (post.whole, post.query) == ("body", {})


def test_mistakes_of_an_openapi_document_have_their_places_in_it() -> None:
    text = """
        openapi:
          pets: {document: pets.yaml, include: ["list*", "get*"], operations: {getCat: {}}}
        """
    document = """\
        openapi: 3.0.3
        paths:
          /pets:
            get:
              operationId: getPets
              parameters:
                - {$ref: "other.yaml#/x"}
                - {$ref: "#/components/parameters/None"}
                - {name: session, in: cookie, required: true}
        servers: [{url: "https://{region}.example.com"}]
    """
    found = mistakes(text, **{"pets.yaml": dedent(document)})
    places = [
        "pets.yaml:7:18",
        "pets.yaml:8:18",
        "pets.yaml:9:11",
        "tools.yaml:3:9",
        "tools.yaml:3:41",
        "tools.yaml:3:72",
    ]
    assert [each.split(": ", 1)[0] for each in found] == places, found
    assert "names no server with a whole address" in found[3]


LINKED = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://pets.example.com"}],
    "paths": {
        "/pets/{id}": {"$ref": "#/components/pathItems/Pet"},
        "/session": {
            "get": {"operationId": "session", "parameters": [{"name": "s", "in": "cookie", "required": True}]}
        },
        "x-notes": {},
    },
    "components": {
        "pathItems": {
            "Pet": {
                "get": {
                    "operationId": "getPet",
                    "parameters": [
                        {"name": "id", "in": "path", "schema": {"$ref": "#/components/schemas/A~1Pet/properties/id"}},
                        {"name": "tree", "in": "query", "schema": {"$ref": "#/components/x-more/Node"}},
                        {"name": "X-API-Key", "in": "header", "required": True, "schema": {"type": "string"}},
                    ],
                }
            }
        },
        "schemas": {"A/Pet": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        "x-more": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/components/x-more/Node"}}}},
    },
}


def test_references_lead_where_they_say_and_a_key_is_no_argument_of_a_model() -> None:
    text = """
        openapi:
          pets: {document: pets.json, include: [getPet], headers: {X-Api-Key: {secret: pets.key}}}
        """
    found = tools(text, **{"pets.json": json.dumps(LINKED)})["pets.get_pet"]
    assert isinstance(found.call, HttpCall)
    assert (found.call.headers, set(found.spec.parameters["properties"])) == ({}, {"id", "tree"})
    assert violations(found.spec.parameters, {"id": 3, "tree": {"next": {"next": {}}}}) == []
    assert len(violations(found.spec.parameters, {"id": "x", "tree": {"next": {"next": 1}}})) == 2


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ({"@evil.example/x": {"get": {}}}, "is no path"),
        ({"/x\r\nHost: evil.example": {"get": {}}}, "is no path"),
        ({"/pets/{id}": {"get": {}}}, "the path has `{id}`, which is no parameter"),
        ({"/a": {"get": {"operationId": "x"}}, "/b": {"get": {"operationId": "x"}}}, "is the id of two operations"),
        ({"/a": {"get": {"parameters": [{"name": "a\r\nb", "in": "header"}]}}}, "is no name of a header"),
    ],
)
def test_an_operation_that_could_not_be_called_is_refused(paths: object, said: str) -> None:
    document = json.dumps({**LINKED, "paths": paths})
    assert said in str(mistakes("openapi: {pets: {document: pets.json}}", **{"pets.json": document}))


def test_an_argument_in_the_path_is_always_there_and_none_replaces_a_header_of_the_group() -> None:
    text = """
        http:
          shop:
            base: https://shop.example.com
            headers: {X-Api-Key: {secret: shop.key}}
            tools:
              find: {path: "/items/{item}", arguments: {item: {type: string, required: false}}}
              look: {path: /items, arguments: {key: str}, headers: {x-api-key: key}}
        """
    found = str(mistakes(text))
    assert "`item` is in the path, and may be left out" in found
    assert "the header x-api-key is the group's already" in found


def test_changes_of_a_pinned_tool_are_told_one_by_one() -> None:
    before = pinned("Read.", {"type": "object", "properties": {"a": {"type": "string"}}}, {}, {"readOnlyHint": True})
    now = pinned("Read!", {"type": "object", "properties": {"a": {"type": "number"}, "b": {}}}, {}, {})
    assert changes(before, now) == [
        "description: 'Read.' is now 'Read!'",
        "arguments.properties.a.type: 'string' is now 'number'",
        "arguments.properties.b: new, {}",
        "annotations.readOnlyHint: gone, was true",
    ]
    assert changes(before, before) == []
    assert before.hash != now.hash


def test_names_that_agents_call_each_other_by_are_refused() -> None:
    found = mistakes('http: {agent: {base: "https://x.example", tools: {look: {path: /}}}}')
    assert "the name `agent.look` is kept for agents and processes" in found[0]
