"""What several commands take, and how each is carried out."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

import typer

from cli.output import Exit

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
By = Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who says so; else SUREFOOT_USER, the login name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]

ToolsAction = Literal["list", "pin", "check"]
DeployAction = Literal["status", "ramp", "promote", "rollback", "drain"]
DEMO_PROCESS = "employee-onboarding"
"""The process that `demo` runs when none is named."""
HOST = "127.0.0.1"
"""Where our own pages listen unless told otherwise."""


def carry_out(work: Coroutine[Any, Any, Exit]) -> int:
    return asyncio.run(work)
