"""What tools were called with: each is put in front of the real one, or of a fake in its place."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_jsonable_python

from contracts.base import Json
from contracts.tools import Tool, ToolContext, ToolError, ToolSpec
from testkit.fakes import fake_result

AnyTool = Tool[..., Any]


@dataclass(frozen=True)
class Called:
    """One attempt of one call. `key`: its idempotency key, the same for each attempt."""

    tool: str
    step: str
    key: str
    attempt: int
    args: dict[str, Json]


@dataclass
class Fake:
    """`returns`: a value, or a function of the arguments. `fails`: what it says before it first works, once each."""

    returns: Json | Callable[..., Json]
    fails: list[str] = field(default_factory=list)

    def answer(self, args: Mapping[str, Json]) -> Json:
        """Raises:
        ToolError: as the test said; tried again as any failure that may pass.
        """
        if self.fails:
            raise ToolError(self.fails.pop(0))
        return self.returns(**args) if callable(self.returns) else self.returns


@dataclass
class Recorder:
    """`calls`: every attempt, in order. `effects`: by key, those that changed something. `fakes`: by tool, those that
    stand in now."""

    calls: list[Called] = field(default_factory=list)
    effects: dict[str, Called] = field(default_factory=dict)
    fakes: dict[str, Fake] = field(default_factory=dict)

    def fake(self, spec: ToolSpec, returns: Json | Callable[..., Json] = None, fails: Sequence[str] = ()) -> None:
        self.fakes[spec.name] = Fake(fake_result(spec) if returns is None else returns, list(fails))

    def in_front_of(self, tool: AnyTool) -> AnyTool:
        """The tool, which notes its calls, and is a fake's as soon as there is one."""
        inner = tool.function

        async def recorded(ctx: ToolContext, **arguments: Any) -> Any:
            args = to_jsonable_python(arguments["args"] if tool.arguments is None else arguments)
            called = Called(tool.spec.name, ctx.step, ctx.idempotency_key, ctx.attempt, args)
            self.calls.append(called)
            if (fake := self.fakes.get(tool.spec.name)) is not None:
                result = fake.answer(args)
            else:
                call = functools.partial(inner, *((ctx,) if tool.wants_context else ()), **arguments)
                result = await (call() if inspect.iscoroutinefunction(inner) else asyncio.to_thread(call))
            if tool.spec.effect == "write":
                self.effects.setdefault(called.key, called)
            return result

        return replace(tool, function=recorded, wants_context=True)

    def instead_of(self, spec: ToolSpec) -> AnyTool:
        """A tool that is declared in a `tools.yaml`, and is only ever faked."""

        def unreachable(ctx: ToolContext, args: Json) -> Json:
            raise ToolError(f"{spec.name} is not faked in this test, and nothing outside is reached", retry=False)

        return self.in_front_of(Tool(spec, unreachable, arguments=None, result=None, wants_context=True))
