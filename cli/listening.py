"""Where a command listens."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import CallerError


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that takes calls for the length of the block; 0 is a free port.

    Raises:
        CallerError: the port is taken, or the host is none of this machine.
    """
    try:
        taken = socket.create_server((host, port))
    except OSError as error:
        raise CallerError(f"--host {host} --port {port}: {error.strerror}; use another --port") from error
    with taken:
        yield taken


@contextmanager
def listening_anywhere(host: str, port: int) -> Iterator[socket.socket]:
    """As `listening`, at a free port when this one is taken."""
    try:
        taken = socket.create_server((host, port))
    except OSError:
        taken = socket.create_server((host, 0))
    with taken:
        yield taken


def address_of(taken: socket.socket, host: str) -> str:
    return f"http://{host}:{taken.getsockname()[1]}"
