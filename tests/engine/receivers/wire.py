"""Bytes on sockets: what no well-behaved client library would send."""

import re
import socket
import struct
import time
from collections.abc import Iterable
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_WINDOW = 65535


def connect(address: str, timeout: float = 30.0) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def head(
    path: str = "/v1/traces", *lines: str, method: str = "POST", version: str = "1.1"
) -> bytes:
    """The head of an HTTP request."""
    default = ["Host: x", "Content-Type: application/x-protobuf"]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *default, *lines, "", ""]).encode()


def until_closed(client: socket.socket) -> bytes:
    """Whatever comes until the other side closes."""
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except ConnectionError:
        pass
    return got


def ask(address: str, sent: bytes, answers: int = 1) -> list[int]:
    """The statuses of the answers to bytes."""
    with connect(address) as client:
        client.sendall(sent)
        got = b""
        while len(statuses(got)) < answers:
            piece = client.recv(65536)
            if not piece:
                break
            got += piece
        return statuses(got)


def statuses(got: bytes) -> list[int]:
    """Those of answers; `100 Continue` and its like only announce one, and may come alone."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d{2})", got)]


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """An HTTP/2 frame."""
    return (
        struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body
    )


def _text(value: str) -> bytes:
    raw = value.encode()
    rest = len(raw) - 127
    if rest < 0:
        return bytes([len(raw)]) + raw
    size = bytearray([127])
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return bytes(size) + bytes([rest]) + raw


def grpc_head(path: str = TRACES, more: Iterable[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC call, in HPACK's literal form."""
    fields = (
        *((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")),
        *(("te", "trailers"), ("content-type", "application/grpc"), *more),
    )
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


class Http2:
    """A client that says just what it is told, and honours flow control."""

    def __init__(self, address: str) -> None:
        self.socket = connect(address)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self.heard: list[tuple[int, int, bytes]] = []
        self._buffer = b""
        self._window = {0: _WINDOW}
        self._initial = _WINDOW

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def open(self, stream: int, block: bytes) -> None:
        self._window[stream] = self._initial
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, block))

    def send(self, stream: int, body: bytes, *, end: bool = False, seconds: float = 10.0) -> int:
        """Send as much as the other side lets in; how much that was."""
        sent, limit = 0, time.monotonic() + seconds
        while sent < len(body) and time.monotonic() < limit:
            room = min(self._window[0], self._window[stream], 16384, len(body) - sent)
            if room > 0:
                last = end and sent + room == len(body)
                piece = body[sent : sent + room]
                self.socket.sendall(frame(DATA, END_STREAM if last else 0, stream, piece))
                self._window[0] -= room
                self._window[stream] -= room
                sent += room
            elif not self.hear(min(0.2, seconds)) or self.gone(stream):
                break
        return sent

    def hear(self, seconds: float) -> bool:
        """Read what comes within the time; whether anything did."""
        self.socket.settimeout(seconds)
        try:
            piece = self.socket.recv(1 << 20)
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(30)
        self._buffer += piece
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                break
            kind, flags = self._buffer[3:5]
            stream = int.from_bytes(self._buffer[5:9], "big")
            body, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            self._take(kind, flags, stream, body)
        return bool(piece)

    def gone(self, stream: int) -> bool:
        """Whether the other side has ended the stream, or the connection."""
        return any(
            kind == GOAWAY or (of == stream and kind in (HEADERS, RST_STREAM))
            for kind, of, _ in self.heard
        )

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        self.heard.append((kind, stream, body))
        if kind == WINDOW_UPDATE and stream in self._window:
            self._window[stream] += int.from_bytes(body, "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(body), 6):
                if body[at : at + 2] == b"\0\4":
                    new = int.from_bytes(body[at + 2 : at + 6], "big")
                    for known in self._window:
                        self._window[known] += (new - self._initial) if known else 0
                    self._initial = new
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, body))


def message(body: bytes, *, size: int | None = None, compressed: bool = False) -> bytes:
    """A gRPC message, whose length may be a lie."""
    return bytes([compressed]) + struct.pack(">I", len(body) if size is None else size) + body
