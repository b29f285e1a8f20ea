"""A bad line between workers and their model endpoint: a proxy whose connections are reset in the middle of an answer,
fall silent there, or drip."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["reset", "silent", "drip"]

SHARES: dict[Fault, float] = {"reset": 0.4, "silent": 0.1, "drip": 0.2}
"""Of the connections."""
WITHIN = 3_000
"""Bytes of answers, at most, after which a connection is reset or falls silent: one answer or a few."""
DROP = 40
"""Bytes of a drop."""
PAUSE = 0.01
"""Seconds between drops."""


class Line:
    """`faults`: those that were made. The same connection, by its number, falls the same way under the same seed."""

    def __init__(self, endpoint: str, seed: int, shares: dict[Fault, float]) -> None:
        self._endpoint = urlsplit(endpoint)
        self._seed = seed
        self._shares = shares
        self._accepted = 0
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.url = ""
        self.faults: list[Fault] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        self._accepted += 1
        dice = random.Random(f"{self._seed} {self._accepted}")  # noqa: S311 - the same again for the same seed
        kinds: list[Fault | None] = [None, *self._shares]
        (fault,) = dice.choices(kinds, weights=[1 - sum(self._shares.values()), *self._shares.values()])
        there, back = await asyncio.open_connection(self._endpoint.hostname, self._endpoint.port)
        asking = asyncio.create_task(_pass_on(reader, back))
        try:
            await self._answer(there, writer, fault, dice.randint(1, WITHIN))
        finally:
            asking.cancel()
            back.close()
            writer.close()
            del self._open[task]

    async def _answer(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None, left: int
    ) -> None:
        with contextlib.suppress(ConnectionError):  # a client that gives up may leave rudely
            while answer := await there.read(65_536):
                if fault == "drip":
                    self.faults.append(fault)
                    await _drip(answer, writer)
                    continue
                is_over = fault is not None and len(answer) >= left
                writer.write(answer[:left] if is_over else answer)
                await writer.drain()
                left -= len(answer)
                if fault is not None and is_over:
                    self.faults.append(fault)
                    await _break_off(writer, fault)
                    return

    async def hang_up(self) -> None:
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while asked := await reader.read(65_536):
            writer.write(asked)
            await writer.drain()
    writer.close()  # so that what comes back comes to its end


async def _drip(answer: bytes, writer: asyncio.StreamWriter) -> None:
    for begin in range(0, len(answer), DROP):
        writer.write(answer[begin : begin + DROP])
        await writer.drain()
        await asyncio.sleep(PAUSE)


async def _break_off(writer: asyncio.StreamWriter, fault: Fault) -> None:
    if fault == "silent":
        await writer.wait_closed()
        return
    opened: socket.socket = writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset instead of an end
    writer.transport.abort()


@contextlib.asynccontextmanager
async def open_line(endpoint: str, seed: int, shares: dict[Fault, float] = SHARES) -> AsyncIterator[Line]:
    """`endpoint`: its URL, of which `url` is the other end."""
    line = Line(endpoint, seed, shares)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line.url = urlsplit(endpoint)._replace(netloc=f"127.0.0.1:{port}").geturl()
    try:
        yield line
    finally:
        server.close()
        await line.hang_up()
