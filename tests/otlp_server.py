"""A small OTLP/HTTP server that keeps what it gets, decoded with the official protobuf."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.servers import eventually


class Kept(NamedTuple):
    """A span with the attributes of its resource."""

    resource: dict[str, str]
    span: Span

    @property
    def attributes(self) -> dict[str, object]:
        return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in self.span.attributes}


class Server:
    """What came, and how to answer: `status`, after `delay` seconds."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Kept] = []
        self.bodies: list[bytes] = []
        self.requests = 0
        self.status = 200
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests += 1
                time.sleep(outer.delay)
                if outer.status == 200:
                    zipped = self.headers.get("Content-Encoding") == "gzip"
                    outer.take(self.path, gzip.decompress(body) if zipped else body)
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.bodies.append(body)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
            for scope_spans in resource_spans.scope_spans:
                self.spans += [Kept(resource, span) for span in scope_spans.spans]

    def named(self, name: str) -> list[Kept]:
        return [kept for kept in self.spans if kept.span.name == name]

    def wait(self, name: str, seconds: float = 30.0) -> Kept:
        """The first span of a name, once it has come."""
        return eventually(lambda: self.named(name), seconds)[0]

    def below(self, parent: Kept) -> list[str]:
        """Names of a span's children."""
        found = [k.span for k in self.spans if k.span.parent_span_id == parent.span.span_id]
        assert all(span.trace_id == parent.span.trace_id for span in found)
        return sorted(span.name for span in found)


@contextmanager
def otlp_server(port: int = 0) -> Iterator[Server]:
    server = Server(port)
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
