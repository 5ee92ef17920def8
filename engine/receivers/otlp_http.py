"""OTLP/HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp."""

import asyncio
import zlib
from functools import partial
from typing import Literal

from aiohttp import web
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from engine.access.guard import CHALLENGE, Guard
from engine.columns.accepting import Sent
from engine.columns.quoting import readable
from engine.receivers.holding import Hold, Refusal
from engine.receivers.ingest import Ingest, answer

PROTOBUF, JSON = "application/x-protobuf", "application/json"
PATHS: dict[str, Sent] = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
_STATUS = {
    "invalid": 400,
    "unauthenticated": 401,
    "slow": 408,
    "too_large": 413,
    "busy": 429,
    "full": 429,
    "unavailable": 503,
}
_CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    405: 12,
    408: 4,
    413: 8,
    415: 3,
    429: 8,
    503: 14,
}  # google.rpc.Code
_INFLATED_PIECE, _DEFLATED_PIECE = 1 << 20, 1 << 16
_MOST_MEMBERS = 1000
Encoding = Literal["identity", "gzip"]


class _Unusable(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A request that is refused before its body is read."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def make_app(ingest: Ingest, guard: Guard) -> web.Application:
    """The receiver as an aiohttp application; its runner must not decompress by itself."""
    app = web.Application(middlewares=[guard.middleware(partial(_turn_away, ingest))])
    app.router.add_route("*", "/{path:.*}", partial(_handle, ingest))
    return app


async def _handle(ingest: Ingest, request: web.Request) -> web.Response:
    try:
        signal = _signal(request)
        json = _is_json(request)
        encoding = _encoding(request)
    except _Unusable as unusable:
        return _error(request, unusable.status, str(unusable), unusable.headers)
    try:
        limit = ingest.longest(signal, json=json)
        with ingest.memory.holding() as hold:
            try:
                body = await _body(request, ingest, limit, hold)
                if encoding == "gzip":
                    loop = asyncio.get_running_loop()
                    body = await loop.run_in_executor(ingest.executor, gunzip, body, limit)
                    hold(len(body))
            except Refusal as refusal:
                raise ingest.refused(signal, "http", refusal) from None
            accepted = await ingest.accept(signal, "http", body, json=json, headers=request.headers)
    except Refusal as refusal:
        if refusal.reason == "slow" and ingest.stopping and request.transport is not None:
            # It was us who read no further. Without an answer the sender tries again.
            request.transport.abort()
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return _error(request, _STATUS[refusal.reason], str(refusal), headers)
    return _message(request, 200, answer(signal, accepted))


def _turn_away(ingest: Ingest, request: web.Request, status: int, why: str) -> web.Response:
    if signal := PATHS.get(request.path):
        ingest.refused(signal, "http", Refusal("unauthenticated", why))
    return _error(request, status, why, CHALLENGE if status == 401 else None)


def _signal(request: web.Request) -> Sent:
    signal = PATHS.get(request.path)
    if signal is None:
        message = f"Burnline takes {', '.join(PATHS)}; there is nothing at {request.path}"
        raise _Unusable(404, message)
    if request.method != "POST":
        raise _Unusable(405, f"send telemetry by POST, not {request.method}", {"Allow": "POST"})
    return signal


def _is_json(request: web.Request) -> bool:
    if request.content_type not in (PROTOBUF, JSON):
        given = request.headers.get("Content-Type", "none")
        raise _Unusable(415, f"Content-Type must be {PROTOBUF} or {JSON}, not {given}")
    return request.content_type == JSON


def _encoding(request: web.Request) -> Encoding:
    match request.headers.get("Content-Encoding", "identity").strip().lower():
        case "identity" | "":
            return "identity"
        case "gzip":
            return "gzip"
        case other:
            message = f"Content-Encoding must be gzip or identity, not {other}"
            raise _Unusable(415, message, {"Accept-Encoding": "gzip"})


async def _body(request: web.Request, ingest: Ingest, limit: int, hold: Hold) -> bytes:
    too_large = Refusal(
        "too_large", f"the payload is larger than {limit} bytes; send smaller batches"
    )
    if request.content_length is not None and request.content_length > limit:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    try:
        async with hold.reading(ingest.memory.readers, paced=True) as progressed:
            async for piece in request.content.iter_any():
                size += len(piece)
                if size > limit:
                    raise too_large
                hold(len(piece))
                progressed(size)
                pieces.append(piece)
    except web.RequestPayloadError as error:
        raise Refusal("invalid", f"the body is malformed: {error}") from error
    return b"".join(pieces)


def gunzip(raw: bytes, limit: int) -> bytes:
    """Decompress gzip, several members too, but no further than a limit.

    Raises:
        Refusal: too large; damaged; truncated.
    """
    pieces: list[bytes] = []
    size = 0
    # What zlib leaves of its input it copies: so it is given little at a time.
    source = memoryview(raw)
    members = 0
    while source:
        members += 1
        if members > _MOST_MEMBERS:
            raise Refusal("invalid", f"the gzip stream has more than {_MOST_MEMBERS} members")
        inflate = zlib.decompressobj(wbits=31)
        while not inflate.eof:
            given = inflate.unconsumed_tail or source[:_DEFLATED_PIECE]
            if not inflate.unconsumed_tail:
                source = source[_DEFLATED_PIECE:]
            try:
                piece = inflate.decompress(given, _INFLATED_PIECE)
            except zlib.error as error:
                raise Refusal("invalid", f"the gzip stream is damaged: {error}") from error
            if not piece and not given and not inflate.eof:
                raise Refusal("invalid", "the gzip stream ends too early")
            size += len(piece)
            if size > limit:
                raise Refusal(
                    "too_large", f"the payload inflates beyond {limit} bytes; send smaller batches"
                )
            pieces.append(piece)
        end = len(raw) - len(source) - len(inflate.unused_data)
        source = memoryview(raw)[end:]
    return b"".join(pieces)


def _error(
    request: web.Request, status: int, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    message = readable(message)
    body = Status(code=_CODES[status], message=message)
    if status == 400:
        bad = AnyMessage()
        bad.Pack(BadRequest(field_violations=[BadRequest.FieldViolation(description=message)]))
        body.details.append(bad)
    return _message(request, status, body, headers)


def _message(
    request: web.Request, status: int, message: Message, headers: dict[str, str] | None = None
) -> web.Response:
    """An answer in the request's own encoding."""
    if request.content_type == JSON:
        text = MessageToJson(message, indent=None)
        return web.Response(status=status, text=text, content_type=JSON, headers=headers)
    return web.Response(
        status=status, body=message.SerializeToString(), content_type=PROTOBUF, headers=headers
    )
