"""The file `tools.yaml`: tools that are no Python, declared in a few lines; and such a tool as a worker gets it.

Text in it may refer to secrets, `${ secret('erp.token') }` or, as a whole value, `{secret: erp.token}`. They are put in
where a tool is called, and are in no definition, history or log.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from contracts.base import Contract, Duration, Json
from contracts.process import Retry
from contracts.tools import Effect, ToolSpec

Group = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$", description="words joined by dots")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$", description="words joined by dots")]
Schema = Annotated[Json, Field(description="JSON Schema, or a type's name")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_|~-]+$")]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

SECRET = re.compile(r"\$\{\s*secret\(\s*(?:'([^']+)'|\"([^\"]+)\")\s*\)\s*\}")


def _secret(value: object) -> object:
    """`{secret: name}` as the text it stands for."""
    if isinstance(value, dict) and value.keys() == {"secret"} and isinstance(value["secret"], str):
        value = f"${{ secret('{value['secret']}') }}"
    if isinstance(value, str) and "${" in SECRET.sub("", value):
        raise ValueError(f"{value!r}: only secrets can be put in here, as ${{ secret('name') }}")
    return value


SecretText = Annotated[str, BeforeValidator(_secret, json_schema_input_type=str | dict[str, str])]


def fill(text: str, secret: Callable[[str], str]) -> str:
    """The text with its secrets put in."""
    return SECRET.sub(lambda found: secret(found[1] or found[2]), text)


class Common(Contract):
    """What a group of tools says for all of them, and one tool for itself."""

    timeout: Duration | None = None
    retry: Retry | None = None
    rate: Annotated[int, Field(ge=1, le=1_000_000, description="calls a minute, of one worker")] | None = None
    untrusted: bool | None = None
    sensitive: bool | None = None
    outside: bool | None = Field(default=None, description="whether its arguments leave to an outside address")


class Declaration(Common):
    """One declared tool. What is not said follows from what it does."""

    description: str = ""
    arguments: dict[str, Schema] = {}
    result: Schema = {}
    effect: Effect | None = None
    idempotent: bool | HeaderName = Field(
        default=False, description="true: the same call twice is one effect; a name: the header that carries the key"
    )
    check: str | None = None


class HttpTool(Declaration):
    """`path` may hold `{arguments}`. Other arguments go to the query of GET, HEAD and DELETE, else to a JSON body;
    `query`, `headers` and `body` say otherwise. `body: name` sends one argument as the whole body."""

    method: Method = "GET"
    path: Annotated[str, Field(pattern=r"^/[^#\s]*$")]
    query: tuple[str, ...] | None = None
    headers: dict[HeaderName, str] = Field(default={}, description="header to the argument it carries")
    body: tuple[str, ...] | str | None = None


class HttpGroup(Common):
    """HTTP tools of one service."""

    base: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")]
    headers: dict[HeaderName, SecretText] = {}
    max_bytes: Annotated[int, Field(ge=1, le=50_000_000)] = 5_000_000
    tools: Annotated[dict[Word, HttpTool], Field(min_length=1)]


class OpenApiTool(Common):
    """What to make of one operation of an OpenAPI document, where its own words do not say it right."""

    name: Word | None = None
    description: str | None = None
    effect: Effect | None = None
    idempotent: bool | HeaderName = False
    check: str | None = None


class OpenApiGroup(Common):
    """Operations of an OpenAPI document, a file beside this one. `include`: their ids, `*` for any characters."""

    document: Annotated[str, Field(min_length=1)]
    base: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")] | None = None
    headers: dict[HeaderName, SecretText] = {}
    max_bytes: Annotated[int, Field(ge=1, le=50_000_000)] = 5_000_000
    include: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    operations: dict[str, OpenApiTool] = {}


class Statement(Declaration):
    """One SQL statement with named parameters such as `:supplier`, which are its arguments."""

    sql: Annotated[str, Field(min_length=1)]


class SqlGroup(Common):
    """SQL tools of one database. `query`: also a tool that runs any one statement that only reads."""

    url: SecretText
    rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    query: bool = False
    statements: dict[Word, Statement] = {}

    @model_validator(mode="after")
    def _has_tools(self) -> "SqlGroup":
        if not self.statements and not self.query:
            raise ValueError("no tools: add statements, or `query: true` for a tool that runs any statement that reads")
        return self


class McpTool(Contract):
    """The user's word on tools of an MCP server, which goes before what the server says of them."""

    name: Word | None = None
    effect: Effect | None = None
    idempotent: bool | None = None
    check: str | None = None
    untrusted: bool | None = None
    sensitive: bool | None = None
    outside: bool | None = None


class McpServer(Common):
    """Tools of an MCP server: a `command` that is started and spoken to over its standard streams, or a `url`.

    `tools`: which of the server's names become tools; `say`: by name, or names with `*`, what holds of them.
    """

    command: Annotated[tuple[SecretText, ...], Field(min_length=1)] | None = None
    env: dict[str, SecretText] = {}
    url: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+(/[^\s]*)?$")] | None = None
    headers: dict[HeaderName, SecretText] = {}
    tools: tuple[str, ...] = ("*",)
    say: dict[str, McpTool] = {}
    resources: bool = False
    prompts: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "McpServer":
        if (self.command is None) == (self.url is None):
            raise ValueError("give either `command`, such as [npx, notes-server], or `url`")
        if self.url is not None and self.env:
            raise ValueError("`env` goes with `command`")
        if self.command is not None and self.headers:
            raise ValueError("`headers` goes with `url`")
        return self


class ToolsFile(Contract):
    """A whole `tools.yaml`. Under each section, a group's name is the first part of its tools' names."""

    http: dict[Group, HttpGroup] = {}
    openapi: dict[Group, OpenApiGroup] = {}
    sql: dict[Group, SqlGroup] = {}
    mcp: dict[Group, McpServer] = {}


class PinnedTool(Contract):
    """A tool as its MCP server described it when it was pinned."""

    description: str = ""
    parameters: dict[str, Any] = {}
    returns: dict[str, Any] = {}
    annotations: dict[str, Json] = {}
    hash: str


class HttpCall(Contract):
    """How a tool becomes an HTTP request. Each argument is in one of `path`, `query`, `headers` and `body`."""

    kind: Literal["http"] = "http"
    base: str
    fixed: dict[str, str] = {}
    max_bytes: int
    method: Method
    path: str
    query: dict[str, str] = Field(default={}, description="argument to its name in the query")
    headers: dict[str, str] = Field(default={}, description="argument to its header")
    body: dict[str, str] = Field(default={}, description="argument to its key in the body")
    whole: str | None = Field(default=None, description="the argument that is the body")
    key_header: str | None = None


class SqlCall(Contract):
    """`sql` is None where the statement is an argument."""

    kind: Literal["sql"] = "sql"
    url: str
    folder: str = Field(description="relative SQLite files lie here")
    rows: int
    writes: bool
    sql: str | None
    timeout: Duration


class McpCall(Contract):
    """`what` of the server: call a tool of its own `name`, or list and read resources and prompts."""

    kind: Literal["mcp"] = "mcp"
    server: McpServer
    folder: str
    what: Literal["tool", "resources", "resource", "prompts", "prompt"] = "tool"
    name: str = ""
    pinned: PinnedTool = PinnedTool(hash="")
    timeout: Duration


class DeclaredTool(Contract):
    """A tool of a `tools.yaml`: what the engine sees of it, and how it is called."""

    spec: ToolSpec
    call: Annotated[HttpCall | SqlCall | McpCall, Field(discriminator="kind")]
    group: str
    group_rate: int | None = Field(default=None, description="calls a minute of all tools of the group together")


class Pins(Contract):
    """The file `tools.lock.json`: by group of `tools.yaml`, the server's tools by its own names."""

    servers: dict[str, dict[str, PinnedTool]] = {}

    @field_validator("servers")
    @classmethod
    def _sorted(cls, value: dict[str, dict[str, PinnedTool]]) -> dict[str, dict[str, PinnedTool]]:
        return {group: dict(sorted(tools.items())) for group, tools in sorted(value.items())}
