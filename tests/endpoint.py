"""A model endpoint on 127.0.0.1 that answers as a test says, through both APIs, and keeps what it was asked.

It streams what it says and calls to those who ask for a stream. Give it answers with `say`, `call`, `fail`, `raw`,
`stream` or `add`, point a model alias at its `url`, then look at `requests`.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.streams import streamed

MODEL = "test-model"


@dataclass(frozen=True)
class Asked:
    """One request. `headers`: names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, whichever API it came through."""
        found: list[dict[str, Any]] = self.body["messages" if "messages" in self.body else "input"]
        return found


@dataclass(frozen=True)
class Answered:
    """One answer. `cut`: bytes that are promised and never sent. `until`: wait for it before answering.

    `events`: a stream instead of the body, piece by piece; it waits where an event of `threading` stands. `exact`: sent
    as it is, also to those who ask for a stream.
    """

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: int = 0
    until: threading.Event | None = None
    events: Sequence[str | threading.Event] = ()
    exact: bool = False
    before_end: Sequence[threading.Event] = ()


Script = Callable[[Asked], Answered]


class Endpoint:
    """Answers are given in the order in which they were added; with none left, `default`, else status 500."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.requests: list[Asked] = []
        self.default: Script | None = None
        self.streams = True
        self.connections = 0
        self._scripts: list[Script] = []
        self._lock = threading.Lock()

    def say(self, text: str, *, finish: str = "stop", usage: tuple[int, int] | None = (100, 20), **more: Any) -> None:
        """Answer with text. `more`: further keys of a chat message, such as `refusal`."""
        self.add(lambda asked: Answered(body=json.dumps(completion(asked, text, (), finish, usage, **more))))

    def call(
        self,
        *calls: tuple[str, Any],
        text: str = "",
        finish: str = "tool_calls",
        usage: tuple[int, int] | None = (100, 20),
        wait: Sequence[threading.Event] = (),
    ) -> None:
        """Ask for tool calls: (name as the endpoint was given it, arguments). `wait`: for these, a stream waits before
        it ends, when the text and the calls are out."""
        self.add(
            lambda asked: Answered(
                body=json.dumps(completion(asked, text, calls, finish, usage)), before_end=tuple(wait)
            )
        )

    def fail(self, status: int, *, headers: Mapping[str, str] | None = None, **error: Any) -> None:
        """Answer with an error: `code`, `message`, `type`, `param`."""
        self.raw(json.dumps({"error": error}), status=status, headers=headers or {})

    def raw(self, body: str, **more: Any) -> None:
        """Answer with exactly this; `more` as in `Answered`."""
        self.add(lambda _: Answered(body=body, exact=True, **more))

    def stream(self, *events: str | threading.Event, **more: Any) -> None:
        """Answer with a stream of exactly these pieces; `cut` breaks it off."""
        self.add(lambda _: Answered(events=events, content_type="text/event-stream", **more))

    def add(self, script: Script) -> None:
        with self._lock:
            self._scripts.append(script)

    def _answer(self, asked: Asked) -> Answered:
        with self._lock:
            self.requests.append(asked)
            script = self._scripts.pop(0) if self._scripts else self.default
        answered = script(asked) if script else Answered(500, '{"error": {"message": "no answer was scripted"}}')
        if answered.exact or answered.events or answered.status != 200 or not asked.body.get("stream"):
            return answered
        if not self.streams:
            return answered
        *events, end = streamed(json.loads(answered.body))
        return replace(answered, events=(*events, *answered.before_end, end), content_type="text/event-stream")


def completion(
    asked: Asked,
    text: str,
    calls: tuple[tuple[str, Any], ...] = (),
    finish: str = "stop",
    usage: tuple[int, int] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A successful answer in the form of the API that was asked."""
    written = [
        (f"id-{index}", name, arguments if isinstance(arguments, str) else json.dumps(arguments))
        for index, (name, arguments) in enumerate(calls)
    ]
    make = _chat if asked.path.endswith("/chat/completions") else _response
    base = {"id": "made", "created": 1, "model": asked.body.get("model", MODEL)}
    return base | make(text, written, finish, usage, more)


def _chat(
    text: str, calls: list[tuple[str, str, str]], finish: str, usage: tuple[int, int] | None, more: dict[str, Any]
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None, **more}
    if calls:
        message["tool_calls"] = [
            {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
            for identity, name, arguments in calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    made: dict[str, Any] = {"object": "chat.completion", "choices": [choice]}
    if usage:
        made["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return made


def _response(
    text: str, calls: list[tuple[str, str, str]], finish: str, usage: tuple[int, int] | None, more: dict[str, Any]
) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}] if text else []
    if more.get("refusal"):
        content = [{"type": "refusal", "refusal": more["refusal"]}]
    output: list[dict[str, Any]] = [{"type": "reasoning", "summary": []}]
    output += [{"type": "message", "role": "assistant", "content": content}] if content else []
    output += [
        {"type": "function_call", "call_id": identity, "name": name, "arguments": arguments}
        for identity, name, arguments in calls
    ]
    made: dict[str, Any] = {"status": "completed", "output": output}
    if finish in ("length", "content_filter"):
        reason = "max_output_tokens" if finish == "length" else finish
        made |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    if usage:
        made["usage"] = {"input_tokens": usage[0], "output_tokens": usage[1]}
    return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self._endpoint.connections += 1

    _endpoint: Endpoint

    def handle(self) -> None:
        with suppress(ConnectionResetError):  # a client that gives up may leave rudely
            super().handle()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        answered = self._endpoint._answer(Asked(self.path, headers, body))
        if answered.until is not None:
            answered.until.wait()
        (self._stream if answered.events else self._send)(answered)

    def _stream(self, answered: Answered) -> None:
        try:
            self.send_response(answered.status)
            self.send_header("content-type", answered.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in answered.events:
                if isinstance(piece, threading.Event):
                    piece.wait()
                else:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece.encode()), piece.encode()))
            if not answered.cut:
                self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up, as clients do
        if answered.cut:
            self.close_connection = True

    def _send(self, answered: Answered) -> None:
        content = answered.body.encode()
        try:
            self.send_response(answered.status)
            self.send_header("content-type", answered.content_type)
            self.send_header("content-length", str(len(content) + answered.cut))
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up, as clients do
        if answered.cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Requests are kept in `requests`."""


@contextmanager
def open_endpoint() -> Iterator[Endpoint]:
    """A running endpoint; closed at the end, when every answer that waits must have been let go."""

    class Handler(_Handler):
        """Of this endpoint."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        endpoint = Handler._endpoint = Endpoint(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
