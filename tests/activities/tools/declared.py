"""Calls of tools from a `tools.yaml`, each as its activity."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.tools.declared import Connectors
from activities.tools.runner import ToolActivity, tool_activities
from contracts.connections import DeclaredTool
from contracts.egress import Egress
from contracts.tools import ToolCall, ToolError
from language.tools.files import load_tools
from runtime.catalog import reader

LOOPBACK = Egress(allow=("127.0.0.1", "localhost"))


@dataclass
class Declared:
    """`await call("erp.read", order="1")` gives the output."""

    activities: Mapping[str, ToolActivity]
    connectors: Connectors
    patience: float = 30.0
    """Seconds that an attempt has."""

    async def __call__(self, name: str, /, **args: Any) -> Any:
        call = ToolCall(args=args, key="run-1/step", run="run-1", step="step")
        environment = ActivityEnvironment()
        bound = timedelta(seconds=self.patience)
        environment.info = replace(environment.info, start_to_close_timeout=bound)
        return (await environment.run(self.activities[name], call)).output

    async def failure(self, name: str, /, **args: Any) -> ApplicationError:
        """How a call that must fail fails."""
        try:
            output = await self(name, **args)
        except ApplicationError as error:
            return error
        raise AssertionError(f"{name} gave {output!r}")


def declare(folder: Path, text: str) -> list[DeclaredTool]:
    return load_tools(dedent(text), "tools.yaml", folder=str(folder), read=reader(folder))


@asynccontextmanager
async def declared(
    folder: Path, text: str, egress: Egress = LOOPBACK, secrets: Mapping[str, str] | None = None
) -> AsyncIterator[Declared]:
    def secret(name: str) -> str:
        if name not in (secrets or {}):
            raise ToolError(f"no secret {name}", retry=False)
        return (secrets or {})[name]

    tools = declare(folder, text)
    connectors = Connectors(egress)
    try:
        made = connectors.tools(tools)
        activities = tool_activities(made, secrets=secret)
        yield Declared({tool.spec.name: each for tool, each in zip(made, activities, strict=True)}, connectors)
    finally:
        await connectors.close()
