"""Telling other workflows."""

import asyncio
from typing import Any

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract


async def tell(
    whom: workflow.ExternalWorkflowHandle[Any] | workflow.ChildWorkflowHandle[Any, Any], signal: str, message: Contract
) -> None:
    """Send a signal, and wait until it is there.

    Raises:
        temporalio.exceptions.ApplicationError: there is no such workflow any more.
        asyncio.CancelledError: the task that tells was cancelled. Where nothing was sent by then, the SDK says so by an
            error of another kind, which would fail the whole run.
    """
    try:
        await whom.signal(signal, message)
    except exceptions.CancelledError as error:
        raise asyncio.CancelledError from error
