"""Traces as parsed JSON straight to protobuf bytes, for the usual forms of OTLP's JSON.

Whatever this module does not know by heart it does not judge: it raises `Unusual`, and the official
`json_format` reads the request instead. One function a message; each takes the fields in the order
of the JSON and writes tag, length and body, which is protobuf's encoding.
"""

import base64
import struct
from binascii import unhexlify
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_MAX_DEPTH = 8
_CACHED_PAIRS = 16384
_CACHED_SIZE = 128  # what is longer holds a prompt or an answer and does not come again


class Unusual(Exception):  # noqa: N818 - no error: a request for the official parser
    """JSON that this module leaves to the official parser."""


def base64_of_hex(text: str) -> str:
    """The base64 that proto3's JSON wants, of the hex that OTLP's JSON has.

    Raises:
        ValueError: it is no hex.
    """
    try:
        return base64.b64encode(unhexlify(text)).decode()
    except ValueError as error:
        raise ValueError(f"{text!r} is no id in hex digits ({error})") from error


def encode(request: dict[str, Any]) -> bytes:
    """An ExportTraceServiceRequest as bytes.

    Raises:
        Unusual: something in it is left to the official parser.
    """
    if request.keys() != {"resourceSpans"}:
        raise Unusual
    parts: list[bytes] = []
    for resource_spans in _list(request["resourceSpans"]):
        _message(parts, b"\x0a", resource_spans, _RESOURCE_SPANS)
    return b"".join(parts)


_Writer = Callable[[list[bytes], Any], None]


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < len(_LENGTHS) else _varint(size)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS = [_varint(size) for size in range(4096)]


def _list(value: object) -> list[Any]:
    if type(value) is not list:
        raise Unusual
    return value


def _message(parts: list[bytes], tag: bytes, value: object, fields: dict[str, _Writer]) -> None:
    if type(value) is not dict:
        raise Unusual
    inner: list[bytes] = []
    for name, content in value.items():
        writer = fields.get(name)
        if writer is not None:
            writer(inner, content)
        elif "_" in name or name in _KNOWN:
            raise Unusual
    body = b"".join(inner)
    parts += (tag, _length(len(body)), body)


def _messages(tag: bytes, fields: dict[str, _Writer]) -> _Writer:
    def write(parts: list[bytes], values: object) -> None:
        for value in _list(values):
            _message(parts, tag, value, fields)

    return write


def _submessage(tag: bytes, fields: dict[str, _Writer]) -> _Writer:
    return lambda parts, value: _message(parts, tag, value, fields)


def _text(tag: bytes) -> _Writer:
    def write(parts: list[bytes], value: object) -> None:
        if type(value) is not str:
            raise Unusual
        body = value.encode()
        parts += (tag, _length(len(body)), body)

    return write


def _id(tag: bytes) -> _Writer:
    def write(parts: list[bytes], value: object) -> None:
        try:
            body = unhexlify(value)  # type: ignore[arg-type]  # refuses what is no text
        except (ValueError, TypeError):
            raise Unusual from None
        parts += (tag, _length(len(body)), body)

    return write


def _integer(value: object, lowest: int, highest: int) -> int:
    if type(value) is str and len(value) < 21 and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or not lowest <= value <= highest:
        raise Unusual
    return value


def _fixed64(tag: bytes) -> _Writer:
    pack = struct.Struct("<Q").pack

    def write(parts: list[bytes], value: object) -> None:
        parts += (tag, pack(_integer(value, 0, 2**64 - 1)))

    return write


def _fixed32(tag: bytes) -> _Writer:
    pack = struct.Struct("<I").pack

    def write(parts: list[bytes], value: object) -> None:
        parts += (tag, pack(_integer(value, 0, 2**32 - 1)))

    return write


def _small(tag: bytes, highest: int) -> _Writer:
    def write(parts: list[bytes], value: object) -> None:
        parts += (tag, _length(_integer(value, 0, highest)))

    return write


def _attributes(tag: bytes) -> _Writer:
    known: dict[tuple[str, tuple[str, str]], bytes] = {}  # text only: 1, 1.0 and True are one key

    def write(parts: list[bytes], values: object) -> None:
        find, append = known.get, parts.append
        for pair in _list(values):
            try:
                (content,) = pair["value"].items()
                encoded = find((pair["key"], content)) if len(pair) == 2 else None
            except (AttributeError, KeyError, TypeError, ValueError):
                encoded = None  # unhashable, too many, none: `_attribute` looks closer
            if encoded is None:
                body = _attribute(pair, _MAX_DEPTH)
                encoded = tag + _length(len(body)) + body
                if len(body) <= _CACHED_SIZE and type(content[1]) is str:
                    if len(known) >= _CACHED_PAIRS:
                        known.clear()
                    known[pair["key"], content] = encoded
            append(encoded)

    return write


def _attribute(pair: object, depth: int) -> bytes:
    if type(pair) is not dict or pair.keys() != {"key", "value"} or type(pair["key"]) is not str:
        raise Unusual
    return _pair(pair["key"], _any_value(pair["value"], depth))


def _pair(key: str, value: bytes) -> bytes:
    start = key.encode()
    return b"\x0a" + _length(len(start)) + start + b"\x12" + _length(len(value)) + value


def _any_value(value: object, depth: int) -> bytes:
    if type(value) is not dict or len(value) != 1 or not depth:
        raise Unusual
    ((name, content),) = value.items()
    match name:
        case "stringValue" if type(content) is str:
            body = content.encode()
            return b"\x0a" + _length(len(body)) + body
        case "intValue":
            negative = type(content) is str and content[:1] == "-"
            number = (
                -_integer(content[1:], 0, 2**63)
                if negative
                else _integer(content, -(2**63), 2**63 - 1)
            )
            return b"\x18" + _varint(number & (2**64 - 1))
        case "boolValue" if type(content) is bool:
            return b"\x10\x01" if content else b"\x10\x00"
        case "doubleValue" if type(content) is float or type(content) is int:
            return b"\x21" + struct.pack("<d", content)
        case "arrayValue" if type(content) is dict and content.keys() <= {"values"}:
            items = [_any_value(item, depth - 1) for item in _list(content.get("values", []))]
            tag = b"\x2a"
        case "kvlistValue" if type(content) is dict and content.keys() <= {"values"}:
            items = [_attribute(item, depth - 1) for item in _list(content.get("values", []))]
            tag = b"\x32"
        case _:
            raise Unusual
    body = b"".join([b"\x0a" + _length(len(item)) + item for item in items])
    return tag + _length(len(body)) + body


_COUNT = 2**32 - 1
_EVENT: dict[str, _Writer] = {
    "timeUnixNano": _fixed64(b"\x09"),
    "name": _text(b"\x12"),
    "attributes": _attributes(b"\x1a"),
    "droppedAttributesCount": _small(b"\x20", _COUNT),
}
_LINK: dict[str, _Writer] = {
    "traceId": _id(b"\x0a"),
    "spanId": _id(b"\x12"),
    "traceState": _text(b"\x1a"),
    "attributes": _attributes(b"\x22"),
    "droppedAttributesCount": _small(b"\x28", _COUNT),
    "flags": _fixed32(b"\x35"),
}
_STATUS: dict[str, _Writer] = {"message": _text(b"\x12"), "code": _small(b"\x18", 2)}
_SPAN: dict[str, _Writer] = {
    "traceId": _id(b"\x0a"),
    "spanId": _id(b"\x12"),
    "traceState": _text(b"\x1a"),
    "parentSpanId": _id(b"\x22"),
    "flags": _fixed32(b"\x85\x01"),
    "name": _text(b"\x2a"),
    "kind": _small(b"\x30", 5),
    "startTimeUnixNano": _fixed64(b"\x39"),
    "endTimeUnixNano": _fixed64(b"\x41"),
    "attributes": _attributes(b"\x4a"),
    "droppedAttributesCount": _small(b"\x50", _COUNT),
    "events": _messages(b"\x5a", _EVENT),
    "droppedEventsCount": _small(b"\x60", _COUNT),
    "links": _messages(b"\x6a", _LINK),
    "droppedLinksCount": _small(b"\x70", _COUNT),
    "status": _submessage(b"\x7a", _STATUS),
}
_SCOPE: dict[str, _Writer] = {
    "name": _text(b"\x0a"),
    "version": _text(b"\x12"),
    "attributes": _attributes(b"\x1a"),
    "droppedAttributesCount": _small(b"\x20", _COUNT),
}
_SCOPE_SPANS: dict[str, _Writer] = {
    "scope": _submessage(b"\x0a", _SCOPE),
    "spans": _messages(b"\x12", _SPAN),
    "schemaUrl": _text(b"\x1a"),
}
_RESOURCE: dict[str, _Writer] = {
    "attributes": _attributes(b"\x0a"),
    "droppedAttributesCount": _small(b"\x10", _COUNT),
}
_RESOURCE_SPANS: dict[str, _Writer] = {
    "resource": _submessage(b"\x0a", _RESOURCE),
    "scopeSpans": _messages(b"\x12", _SCOPE_SPANS),
    "schemaUrl": _text(b"\x1a"),
}
# Names that mean something in some message: where no writer has them, the official parser decides.
_KNOWN = frozenset(
    field.json_name
    for module in (common_pb2, resource_pb2, trace_pb2)
    for message in module.DESCRIPTOR.message_types_by_name.values()
    for nested in (message, *message.nested_types)
    for field in nested.fields
)
