"""A model endpoint in a process of its own: Chat Completions on loopback, scripted, with no think time.

The model's name says how many tool calls a conversation gets before its answer: `turns-20`.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ANSWER = "done"


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """The message that follows: a call of the first tool that is offered, or the answer."""
    turn = sum(message["role"] == "assistant" for message in asked["messages"])
    if turn >= int(asked["model"].rpartition("-")[2]):
        return {"role": "assistant", "content": ANSWER}
    call = {"name": asked["tools"][0]["function"]["name"], "arguments": json.dumps({"number": turn})}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"call-{turn}", "type": "function", "function": call}],
    }


def completion(asked: dict[str, Any]) -> dict[str, Any]:
    message = reply(asked)
    return {
        "id": "made",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if message["content"] is None else "stop"}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020},
    }


def streamed(asked: dict[str, Any]) -> str:
    """The same as server-sent events: the message in one chunk, how it ended, what it used."""
    whole = completion(asked)
    choice = whole["choices"][0]
    calls = choice["message"].get("tool_calls")
    delta = choice["message"] | (
        {"tool_calls": [{"index": at, **call} for at, call in enumerate(calls)]} if calls else {}
    )
    base = {"id": "made", "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}
    chunks: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        {**base, "choices": [], "usage": whole["usage"]},
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The requests of one connection, one after the other."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
            asked = json.loads(await reader.readexactly(int(headers["content-length"])))
            streams = asked.get("stream", False)
            content = (streamed(asked) if streams else json.dumps(completion(asked))).encode()
            kind = "text/event-stream" if streams else "application/json"
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client is done
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def endpoint() -> Iterator[str]:
    """The base URL of an endpoint that answers for the length of the block."""
    process = subprocess.Popen([sys.executable, str(Path(__file__))], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(main())
