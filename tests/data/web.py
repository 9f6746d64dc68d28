"""A web server on this machine for the tests of downloads: with and without ranges, breaking off, busy, slow, lying."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """One file, and how it is served; everything may be changed between requests."""

    content: bytes
    ranges: bool = True  # knows Range and If-Range
    tag: str | None = '"one"'  # the ETag
    breaks: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    status: list[int] = field(default_factory=list)  # the next answers are these errors
    length: bool = True  # says Content-Length
    pause: float = 0.0  # seconds after each 64 KiB
    wrong_start: bool = False  # answers a range with another one
    refuse_ranges: bool = False  # answers a range with 416
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)  # headers of the requests
    sent: int = 0  # bytes of all answers

    def answer(self, request: Any) -> None:
        self.asked.append(dict(request.headers))
        if self.status:
            request.send_error(self.status.pop(0))
            return
        start = 0
        wanted = request.headers.get("Range")
        if wanted and self.ranges and request.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start and self.refuse_ranges:
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            shown = start + 1 if self.wrong_start else start
            request.send_header("Content-Range", f"bytes {shown}-{len(self.content) - 1}/{len(self.content)}")
        if self.tag is not None:
            request.send_header("ETag", self.tag)
        if self.length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        end = self.breaks.pop(0) if self.breaks else len(body)
        for at in range(0, end, 1 << 16):
            part = body[at : min(at + (1 << 16), end)]
            request.wfile.write(part)
            request.wfile.flush()
            self.sent += len(part)
            time.sleep(self.pause)


@contextmanager
def serving(content: bytes, name: str = "f.bin", **how: Any) -> Iterator[Site]:
    """Serve ``content`` at ``site.url`` while the block runs."""
    site = Site(content, **how)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                site.answer(self)
            except (BrokenPipeError, ConnectionResetError):  # the reader has gone
                pass
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/{name}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
