"""Whole answers as the streams of both APIs, for the test endpoint."""

import json
from collections.abc import Iterator
from typing import Any

PIECE = 7
"""Characters in one event, at the least."""

MAX_PIECES = 500

DONE = "data: [DONE]\n\n"


def event(data: Any, name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"


def pieces(text: str) -> list[str]:
    size = max(PIECE, len(text) // MAX_PIECES)
    return [text[start : start + size] for start in range(0, len(text), size)]


def streamed(whole: dict[str, Any]) -> list[str]:
    """The events of an answer that would be `whole` unstreamed."""
    return list(_chat(whole) if "choices" in whole else _response(whole))


def _chat(whole: dict[str, Any]) -> Iterator[str]:
    choice = whole["choices"][0]
    message = choice["message"]

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        made = {"index": 0, "delta": delta, "finish_reason": finish}
        return event({"object": "chat.completion.chunk", "choices": [made], "usage": None})

    yield ": a comment\n\n"
    yield chunk({"role": "assistant", "content": ""})
    for kind in ("content", "refusal"):
        for piece in pieces(message.get(kind) or ""):
            yield chunk({kind: piece})
    for index, call in enumerate(message.get("tool_calls") or ()):
        begun = {"name": call["function"]["name"], "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": begun}]})
        for piece in pieces(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, choice["finish_reason"])
    if whole.get("usage"):
        yield event({"object": "chat.completion.chunk", "choices": [], "usage": whole["usage"]})
    yield DONE


def _response(whole: dict[str, Any]) -> Iterator[str]:
    def named(kind: str, **more: Any) -> str:
        return event({"type": kind, **more}, kind)

    yield named("response.created", response={**whole, "status": "in_progress", "output": []})
    for index, item in enumerate(whole["output"]):
        bare = {**item, "content": [], "arguments": ""}
        yield named("response.output_item.added", output_index=index, item=bare)
        for part in item.get("content") or ():
            kind = "output_text" if part["type"] == "output_text" else "refusal"
            for piece in pieces(part.get("text") or part.get("refusal") or ""):
                yield named(f"response.{kind}.delta", output_index=index, content_index=0, delta=piece)
        for piece in pieces(item.get("arguments") or ""):
            yield named("response.function_call_arguments.delta", output_index=index, delta=piece)
        yield named("response.output_item.done", output_index=index, item=item)
    yield named(f"response.{whole.get('status', 'completed')}", response=whole)
