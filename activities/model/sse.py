"""Server-sent events of an HTTP response, and what ends them early."""

from collections.abc import AsyncGenerator

import httpx2

from activities.model.errors import Malformed

MAX_EVENT_BYTES = 8_000_000


async def events(response: httpx2.Response) -> AsyncGenerator[tuple[str, bytes], None]:
    """Each event's name, empty for most, and its data. Comments, ids and retry times are left out.

    Raises:
        Malformed: one event is larger than any answer.
    """
    name, data = "", []
    async for line in _lines(response):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode(errors="replace")
        elif not line:
            if data:
                yield name, b"\n".join(data)
            name, data = "", []
    if data:  # the last line of some endpoints is not followed by an empty one
        yield name, b"\n".join(data)


async def _lines(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for chunk in response.aiter_bytes():
        lines = (rest + chunk).splitlines(keepends=True)
        rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        for line in lines:
            yield line.rstrip(b"\r\n")
        if len(rest) > MAX_EVENT_BYTES:
            raise Malformed(f"one event of the stream has more than {MAX_EVENT_BYTES / 1e6:.0f} MB")
    if rest:
        yield rest
