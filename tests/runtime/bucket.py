"""A bucket on 127.0.0.1 that speaks as much of S3 and Google Cloud Storage as storing and reading objects needs."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Objects:
    """`held`: by `bucket/key`; `written`: when, in seconds since 1970. `denies`: answers 403 to everything."""

    url: str
    held: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)
    denies: bool = False


@contextmanager
def bucket_server() -> Iterator[Objects]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        objects = Objects(f"http://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = type("Handler", (_Handler,), {"objects": objects})
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield objects
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: Objects

    def do_PUT(self) -> None:
        self._hold(self._place(), self._body())

    def do_POST(self) -> None:
        """Google's upload: the object's name is in the query."""
        bucket = self.path.split("/b/")[1].split("/")[0]
        name = parse_qs(urlsplit(self.path).query)["name"][0]
        self._hold(f"{bucket}/{name}", self._body())

    def do_HEAD(self) -> None:
        self._give()

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            self._list()
        else:
            self._give()

    def do_DELETE(self) -> None:
        self.objects.held.pop(self._place(), None)
        self._answer(403 if self.objects.denies else 204, b"")

    def log_message(self, *_: object) -> None:
        pass

    def _place(self) -> str:
        path = urlsplit(self.path).path
        if "/storage/v1/b/" in path:  # Google's: /storage/v1/b/BUCKET/o/KEY
            bucket, _, key = path.split("/b/")[1].partition("/o/")
            return f"{bucket}/{unquote(key)}"
        return unquote(path.lstrip("/"))

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "") and "aws-chunked" not in self.headers.get(
            "Content-Encoding", ""
        ):
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _hold(self, place: str, content: bytes) -> None:
        if self.objects.denies:
            self._answer(403, b"")
            return
        self.objects.held[place] = content
        self.objects.written[place] = time.time()
        self._answer(200, b"" if self.command == "PUT" else b"{}")

    def _list(self) -> None:
        """S3's: the first 1,000 whose names begin so."""
        parts = urlsplit(self.path)
        bucket = parts.path.strip("/")
        prefix = f"{bucket}/{parse_qs(parts.query).get('prefix', [''])[0]}"
        places = sorted(place for place in self.objects.held if place.startswith(prefix))
        keys = "".join(f"<Contents><Key>{place.removeprefix(f'{bucket}/')}</Key></Contents>" for place in places)
        body = f"<ListBucketResult><KeyCount>{len(places)}</KeyCount>{keys}</ListBucketResult>".encode()
        self._answer(*((403, b"") if self.objects.denies else (200, body)))

    def _give(self) -> None:
        content = self.objects.held.get(self._place())
        if self.objects.denies:
            self._answer(403, b"")
        elif content is None:
            self._answer(404, b"")
        elif "/storage/v1/b/" in self.path and "alt=media" not in self.path:
            self._answer(200, json.dumps({"size": len(content)}).encode())
        else:
            self._answer(200, content)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if (written := self.objects.written.get(self._place())) is not None:
            self.send_header("Last-Modified", formatdate(written, usegmt=True))
        self.send_header("Content-Type", "application/json" if body.startswith(b"{") else "application/octet-stream")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
