import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

# (status, headers, body as bytes, text or JSON)
Answer = tuple[int, dict[str, str], object]


class LoopbackServer:
    """A real HTTP server on a free loopback port; a function makes its answers of the requests."""

    def __init__(self, answer: Callable[[bytes], Answer]) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections: set[tuple[str, int]] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.path, dict(self.headers), body))
                outer.connections.add(self.client_address)
                status, headers, content = answer(body)
                if isinstance(content, str):
                    content = content.encode()
                if not isinstance(content, bytes):
                    content = json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _respond  # noqa: N815  http.server's names

            def log_message(self, *_: object) -> None:
                """Tests read `requests` instead."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[bytes], Answer]], LoopbackServer]]:
    """Starts loopback HTTP servers; stops them after the test."""
    started: list[LoopbackServer] = []

    def start(answer: Callable[[bytes], Answer]) -> LoopbackServer:
        started.append(LoopbackServer(answer))
        return started[-1]

    yield start
    for server in started:
        server.stop()
