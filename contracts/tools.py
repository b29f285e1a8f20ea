"""Tools: typed Python functions that processes and agents call, and what the engine knows of each.

@tool(name="hris.create_employee", effect="write", idempotent=True, timeout="30s")
async def create_employee(ctx: ToolContext, name: str, role: str) -> Employee:
    '''Create the employee's record in the HR system.'''
"""

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, get_type_hints

import structlog.typing
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from contracts.base import Contract, Duration, Json, Lean, parse_duration
from contracts.grants import Grant, pattern_of
from contracts.process import Retry

Effect = Literal["read", "write"]
Via = Literal["tool", "agent", "peer", "debate", "hand_over", "process"]
NAME = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$")
RESERVED = re.compile(r"(agent|peer|process)\..*|debate|hand_over")
"""Names under which agents are offered other agents, and processes."""
PROCESS_PREFIX = "process."
DEFAULT_TIMEOUT = timedelta(minutes=5)

P = ParamSpec("P")
R = TypeVar("R")


class ToolError(Exception):
    """A tool says no: `retry=False` when trying again cannot help. Either way the effect did not happen.

    `after`: what the tool calls is not to be called for so long; the wait takes no attempt from the step.
    """

    def __init__(self, message: str, *, retry: bool = True, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry = retry
        self.after = after


class ToolContext(Protocol):
    """What a tool may ask for by declaring a first parameter `ctx: ToolContext`."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this call, through retries, resets and worker crashes."""

    @property
    def run(self) -> str: ...

    @property
    def step(self) -> str: ...

    @property
    def tainted(self) -> bool:
        """Whether the arguments may hold text from outside."""

    @property
    def attempt(self) -> int:
        """1 on the first try."""

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger: ...

    def heartbeat(self, *details: Json) -> None:
        """Report progress of long work; raises when the step was cancelled."""

    def secret(self, name: str) -> str:
        """The secret's value, for this call only.

        Raises:
            ToolError: no such secret is set; the message names the setting.
        """


class ToolSpec(Contract):
    """A tool as the engine sees it. Travels with a run's definition."""

    name: str
    description: str = ""
    effect: Effect = "read"
    idempotent: bool = False
    untrusted: bool = False
    sensitive: bool = False
    via: Via = Field(default="tool", description="what a call of it is: an activity, or work of agents or a process")
    outside: bool = Field(default=False, description="its arguments leave to an outside address")
    timeout: Duration | None = Field(default=None, description="of one attempt; a step's own timeout goes first")
    rate: int | None = Field(default=None, ge=1, description="calls a minute, of one worker")
    retry: Retry | None = None
    check: str | None = Field(default=None, description="the tool that reconciles an unknown outcome")
    parameters: dict[str, Any] = {}
    returns: dict[str, Any] = {}

    @property
    def is_gated(self) -> bool:
        """Whether text from outside may reach it only when people agree: it changes the world, or its arguments leave.
        What is written to the run's own state stays tainted there instead, and so does the work of other agents."""
        is_act = self.effect == "write" or self.outside
        return is_act and self.via in ("tool", "process") and not self.name.startswith("state.")

    @property
    def repeatable(self) -> bool:
        """Whether an attempt with an unknown outcome may simply be made again."""
        return self.effect == "read" or self.idempotent


@dataclass(frozen=True)
class Tool(Generic[P, R]):
    """A function and its spec. Calling it calls the function.

    Without `arguments` the function takes the context and the arguments as one mapping, checked against the spec's
    schema alone; without `result`, what it returns is JSON already.
    """

    spec: ToolSpec
    function: Callable[P, R]
    arguments: type[BaseModel] | None
    result: TypeAdapter[Any] | None
    wants_context: bool

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


def tool(  # noqa: PLR0913 -- a tool says a lot, each thing by its name
    *,
    name: str,
    effect: Effect,
    idempotent: bool = False,
    untrusted: bool = False,
    sensitive: bool = False,
    outside: bool = False,
    timeout: str | timedelta | None = None,
    rate: int | None = None,
    retry: Retry | Mapping[str, Any] | None = None,
    check: "Tool[..., Any] | str | None" = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a typed function a tool. JSON Schemas of arguments and result come from its signature.

    Args:
        name: dotted lower-case name; also the Temporal activity type.
        effect: `read` changes nothing; `write` changes the world.
        idempotent: a `write` that honours `ctx.idempotency_key`, so it may be retried.
        untrusted: its output comes from outside and taints what follows.
        sensitive: it reads what must not leave.
        outside: its arguments leave to an outside address, such as a mail or a request to the world.
        timeout: of one attempt, like `30s`; default 5m.
        rate: calls a minute that one worker makes; more of them wait.
        retry: replaces the default of 5 attempts from 1s, doubling, up to 1m.
        check: the tool that says whether a write with an unknown outcome happened: called with the same arguments
            and key, it returns the write's result, or None when it did not happen.

    Raises:
        TypeError: a parameter or the result has no type, or a kind that cannot be passed by name.
        ValueError: the name or the combination of options is wrong.
    """
    if not NAME.match(name):
        raise ValueError(f"tool name {name!r}: write lower-case words joined by dots, such as hris.create_employee")
    if RESERVED.fullmatch(name):
        raise ValueError(
            f"tool name {name!r} is kept for agents and processes that agents call on; choose another first word"
        )
    if check is not None and (effect == "read" or idempotent):
        raise ValueError(f"tool {name}: check is for a write that is not idempotent")

    def decorate(function: Callable[P, R]) -> Tool[P, R]:
        arguments, wants_context = _arguments(name, function)
        result: TypeAdapter[Any] = TypeAdapter(_hints(name, function)["return"])
        spec = ToolSpec(
            name=name,
            description=inspect.getdoc(function) or "",
            effect=effect,
            idempotent=idempotent,
            untrusted=untrusted,
            sensitive=sensitive,
            outside=outside,
            rate=rate,
            timeout=None if timeout is None else parse_duration(timeout),
            retry=None if retry is None else Retry.model_validate(retry),
            check=check.spec.name if isinstance(check, Tool) else check,
            parameters=arguments.model_json_schema(),
            returns=result.json_schema(mode="serialization"),
        )
        return Tool(spec=spec, function=function, arguments=arguments, result=result, wants_context=wants_context)

    return decorate


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(function, include_extras=True)
    if "return" not in hints:
        raise TypeError(f"tool {name}: give {function.__name__} a return type; it becomes the schema of its result")
    return hints


def _arguments(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], bool]:
    hints = _hints(name, function)
    wants_context = False
    fields: dict[str, Any] = {}
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if hints.get(parameter.name) is ToolContext:
            if index:
                raise TypeError(f"tool {name}: {parameter.name}: ToolContext must be the first parameter")
            wants_context = True
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"tool {name}: {parameter} cannot be passed by name; write plain parameters")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: give parameter {parameter.name} a type; it becomes the schema agents see")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    config = ConfigDict(extra="forbid", protected_namespaces=())
    with warnings.catch_warnings():
        # `json` and `copy` are good names for arguments; that pydantic's models have such methods does not matter here.
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute", category=UserWarning)
        return create_model(f"{name} arguments", __config__=config, **fields), wants_context


class ToolCall(Lean):
    """The input of a tool's activity. `conversation` is set when an agent called it: its result is also put where
    the next model call finds it."""

    args: dict[str, Json]
    key: str
    run: str
    step: str
    call_id: str | None = None
    tainted: bool = False


class Part(Contract):
    """The beginning of a result that is kept whole elsewhere. `digest`: its address there; `size`: in characters, as
    the JSON text that it is."""

    digest: str
    size: int
    head: str


class ToolResult(Lean):
    """The result of a tool's activity: `output` fits the tool's `returns`; `attempts` made, counting this one. `part`:
    instead of the output, of an agent's call that gave a large one."""

    output: Json = None
    part: Part | None = None
    attempts: int = 1


def process_tool(name: str, description: str, parameters: dict[str, Any]) -> ToolSpec:
    """A process as a tool of agents. Its run has the call's key as its id: a call that is made again finds it."""
    return ToolSpec(
        name=f"{PROCESS_PREFIX}{name}",
        description=f"Run the process {name} and wait for its output. {description}".strip(),
        effect="write",
        idempotent=True,
        parameters=parameters,
        via="process",
    )


def granted(grants: Iterable[Grant], names: Iterable[str]) -> tuple[str, ...]:
    """The tool names that match any pattern; `*` stands for any run of characters within or across dots. Processes
    are matched by patterns that begin with `process.` only."""
    patterns = [pattern_of(grant) for grant in grants]
    chosen = [
        (pattern.startswith(PROCESS_PREFIX), re.compile(".*".join(re.escape(part) for part in pattern.split("*"))))
        for pattern in patterns
    ]
    return tuple(
        name
        for name in names
        if any(
            regex.fullmatch(name) and of_processes == name.startswith(PROCESS_PREFIX) for of_processes, regex in chosen
        )
    )
