"""A web server on the loopback that answers requests for ranges of one file, and counts them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Served:
    """What was asked of the server: `requests`, and `sent`, bytes of content."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = self.sent = 0
        self.ranges: list[tuple[int, int]] = []

    def clear(self) -> None:
        self.requests = self.sent = 0
        self.ranges = []


@contextmanager
def serving(content: bytes) -> Iterator[Served]:
    """Serve `content` under an address of the loopback while the block runs."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _head(self) -> tuple[int, int]:
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start, stop = 0, len(content)
            if asked:
                start, stop = int(asked[1]), min(int(asked[2]) + 1, len(content)) if asked[2] else len(content)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            return start, stop

        def do_HEAD(self) -> None:
            with lock:
                served.requests += 1
            self._head()

        def do_GET(self) -> None:
            start, stop = self._head()
            with lock:
                served.requests += 1
                served.sent += stop - start
                served.ranges.append((start, stop))
            self.wfile.write(content[start:stop])

        def log_message(self, *_: object) -> None:
            """Nothing: it counts."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_address[1]}/file.h5")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
