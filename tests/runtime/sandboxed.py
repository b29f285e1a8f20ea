"""Workflows that try the sandbox; apart from their tests, which import what no workflow may."""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import structlog

    from contracts.base import Contract
    from language.expressions import evaluate
    from language.schema import violations


@workflow.defn
class Imports:
    """Imports a module while it runs."""

    @workflow.run
    async def run(self, module: str) -> str:
        __import__(module)
        return module


@workflow.defn
class UsesWhatIsShared:
    @workflow.run
    async def run(self, amount: int) -> list[str]:
        structlog.get_logger().info("checking", amount=amount)
        doubled = evaluate("${ input.amount * 2 }", {"input": {"amount": amount}})
        assert issubclass(Contract, object)
        return violations({"type": "integer", "maximum": 10}, doubled)


@workflow.defn
class TakesItsTime:
    @workflow.run
    async def run(self, seconds: float) -> str:
        """Compute for so long without giving way."""
        with workflow.unsafe.sandbox_unrestricted():
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
        return "done"


@workflow.defn
class CallsAnActivity:
    @workflow.run
    async def run(self, text: str) -> str:
        called: str = await workflow.execute_activity(
            "echo", text, result_type=str, start_to_close_timeout=timedelta(seconds=20), summary="says it again"
        )
        return called


class _Waits:
    @workflow.query
    def is_there(self) -> bool:
        return True


@workflow.defn
class HoldsOn(_Waits):
    @workflow.run
    async def run(self) -> None:
        """Wait for ever, whoever ends it."""
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


@workflow.defn
class LeavesInOrder(_Waits):
    @workflow.run
    async def run(self) -> None:
        """Ask for the time at its end, which only the run itself can tell."""
        try:
            await asyncio.Event().wait()
        finally:
            workflow.now()
