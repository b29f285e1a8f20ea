"""From settings to a client: every error of the server becomes one that a person can act on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import CallerError, ServerUnreachable, SurefootError
from runtime.client import Connection, connect
from runtime.settings import Settings, load_settings

_UNREACHABLE = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)


@asynccontextmanager
async def connected(settings: Settings | None = None) -> AsyncIterator[Connection]:
    """A connection whose errors are ours.

    Raises:
        ServerUnreachable: no server answers, or it does not let us in.
        CallerError: the server says the call was wrong.
    """
    connection = await connect(settings or load_settings())
    try:
        yield connection
    except RPCError as error:
        raise server_error(error, connection) from error
    finally:
        await connection.close()


def server_error(error: RPCError, connection: Connection) -> SurefootError:
    """What an error of the server means for whoever called."""
    if error.status in (RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED):
        return ServerUnreachable(
            f"{connection.address} does not let us in: {error.message}; check TEMPORAL_API_KEY, the TLS settings and "
            f"that namespace {connection.client.namespace!r} is yours"
        )
    if error.status in _UNREACHABLE:
        return ServerUnreachable(
            f"the server at {connection.address} stopped answering: {error.message}; nothing is lost, try again"
        )
    if error.status is RPCStatusCode.NOT_FOUND and "amespace" in error.message:
        return CallerError(
            f"{connection.address} has no namespace {connection.client.namespace!r}; set TEMPORAL_NAMESPACE, or create "
            f"it with `temporal operator namespace create`"
        )
    if "earch attribute" in error.message:
        return CallerError(
            f"the server lacks Surefoot's search attributes ({error.message}); start a worker once, it declares them"
        )
    return CallerError(f"{connection.address} refused the call: {error.message}")
