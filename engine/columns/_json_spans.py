"""Traces in OTLP's JSON straight to protobuf bytes, for its usual forms.

Whatever this module does not know by heart it does not judge: it raises `Unusual`, and the official
`json_format` reads the request instead. The way down to the spans is decoded into structs. What
mostly comes again (attributes, resources, scopes, statuses) stays raw JSON and is looked up among
what was encoded before, by its very bytes; only what is new is parsed.
"""

# The structs have the names of the JSON.
# ruff: noqa: N815

import base64
import struct
from binascii import unhexlify
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_MAX_DEPTH = 8
_LONGEST_KEY = 160  # of those that are remembered


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


_Writer = Callable[[list[bytes], Any], None]


class _Varints(dict[int, bytes]):
    """The small ones ready, the others worked out."""

    def __missing__(self, value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
        return bytes(out)


_VARINT = _Varints()
_VARINT.update({value: _VARINT[value] for value in range(4096)})


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
    parts += (tag, _VARINT[len(body)], body)


def _text(tag: bytes) -> _Writer:
    def write(parts: list[bytes], value: object) -> None:
        if type(value) is not str:
            raise Unusual
        body = value.encode()
        parts += (tag, _VARINT[len(body)], body)

    return write


def _id(tag: bytes) -> _Writer:
    def write(parts: list[bytes], value: object) -> None:
        try:
            body = unhexlify(value)  # type: ignore[arg-type]  # refuses what is no text
        except (ValueError, TypeError):
            raise Unusual from None
        parts += (tag, _VARINT[len(body)], body)

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
        parts += (tag, _VARINT[_integer(value, 0, highest)])

    return write


def _attributes(tag: bytes) -> _Writer:
    def write(parts: list[bytes], values: object) -> None:
        for pair in _list(values):
            body = _attribute(pair, _MAX_DEPTH)
            parts += (tag, _VARINT[len(body)], body)

    return write


def _attribute(pair: object, depth: int) -> bytes:
    if type(pair) is not dict or pair.keys() != {"key", "value"} or type(pair["key"]) is not str:
        raise Unusual
    return _pair(pair["key"], _any_value(pair["value"], depth))


def _pair(key: str, value: bytes) -> bytes:
    return _key(key) + _VARINT[len(value)] + value


def _key(key: str) -> bytes:
    return _known_key(key) if len(key) <= _LONGEST_KEY else _encoded_key(key)


def _encoded_key(key: str) -> bytes:
    body = key.encode()
    return b"\x0a" + _VARINT[len(body)] + body + b"\x12"


_known_key = lru_cache(maxsize=4096)(_encoded_key)


def _any_value(value: object, depth: int) -> bytes:
    if type(value) is not dict or len(value) != 1 or not depth:
        raise Unusual
    ((name, content),) = value.items()
    match name:
        case "stringValue" if type(content) is str:
            body = content.encode()
            return b"\x0a" + _VARINT[len(body)] + body
        case "intValue":
            negative = type(content) is str and content[:1] == "-"
            number = (
                -_integer(content[1:], 0, 2**63)
                if negative
                else _integer(content, -(2**63), 2**63 - 1)
            )
            return b"\x18" + _VARINT[number & (2**64 - 1)]
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
    body = b"".join([b"\x0a" + _VARINT[len(item)] + item for item in items])
    return tag + _VARINT[len(body)] + body


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
_SCOPE: dict[str, _Writer] = {
    "name": _text(b"\x0a"),
    "version": _text(b"\x12"),
    "attributes": _attributes(b"\x1a"),
    "droppedAttributesCount": _small(b"\x20", _COUNT),
}
_RESOURCE: dict[str, _Writer] = {
    "attributes": _attributes(b"\x0a"),
    "droppedAttributesCount": _small(b"\x10", _COUNT),
}
# Names that mean something in some message: where no writer has them, the official parser decides.
_KNOWN = frozenset(
    field.json_name
    for module in (common_pb2, resource_pb2, trace_pb2)
    for message in module.DESCRIPTOR.message_types_by_name.values()
    for nested in (message, *message.nested_types)
    for field in nested.fields
)


class _Span(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    traceId: str = ""
    spanId: str = ""
    traceState: str = ""
    parentSpanId: str = ""
    flags: int = 0
    name: str = ""
    kind: Raw = Raw()
    startTimeUnixNano: int = 0
    endTimeUnixNano: int = 0
    attributes: list[Raw] = []
    droppedAttributesCount: int = 0
    events: list[Raw] = []
    droppedEventsCount: int = 0
    links: list[Raw] = []
    droppedLinksCount: int = 0
    status: Raw = Raw()


class _ScopeSpans(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    scope: Raw = Raw()
    spans: list[_Span] = []
    schemaUrl: str = ""


class _ResourceSpans(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    resource: Raw = Raw()
    scopeSpans: list[_ScopeSpans] = []
    schemaUrl: str = ""


class _Request(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Alone in its object: other signals beside it are the caller's business."""

    resourceSpans: list[_ResourceSpans]


class _KeyValue(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    key: str
    value: dict[str, Any]


class _Encoded(dict[bytes, bytes]):
    """Raw JSON to its encoding, remembered unless it is long: then it does not come again."""

    def __init__(self, encode: Callable[[bytes], bytes], entries: int, size: int) -> None:
        super().__init__()
        self._encode, self._entries, self._size = encode, entries, size

    def __missing__(self, raw: bytes) -> bytes:
        encoded = self._encode(raw)
        if len(raw) <= self._size:
            if len(self) >= self._entries:
                self.clear()
            self[raw] = encoded
        return encoded


def _raw_attribute(raw: bytes) -> bytes:
    pair = _DECODE_PAIR(raw)
    key, value = _key(pair.key), _any_value(pair.value, _MAX_DEPTH)
    length = _VARINT[len(value)]
    size = len(key) + len(length) + len(value)
    return b"".join((b"\x4a", _VARINT[size], key, length, value))


def _raw_message(tag: bytes, fields: dict[str, _Writer]) -> Callable[[bytes], bytes]:
    def encode(raw: bytes) -> bytes:
        if not raw:
            return b""
        parts: list[bytes] = []
        _message(parts, tag, msgspec.json.decode(raw), fields)
        return b"".join(parts)

    return encode


_REFUSALS = (
    *(msgspec.MsgspecError, RecursionError, struct.error),
    *(ValueError, KeyError, OverflowError),
)
_DECODE = msgspec.json.Decoder(_Request, strict=False).decode  # numbers may be strings
_DECODE_PAIR = msgspec.json.Decoder(_KeyValue).decode
_ATTRIBUTES = _Encoded(_raw_attribute, 16384, 160)
_RESOURCES = _Encoded(_raw_message(b"\x0a", _RESOURCE), 256, 16384)
_SCOPES = _Encoded(_raw_message(b"\x0a", _SCOPE), 1024, 1024)
_STATUSES = _Encoded(_raw_message(b"\x7a", _STATUS), 1024, 1024)
_event = _raw_message(b"\x5a", _EVENT)
_link = _raw_message(b"\x6a", _LINK)
_TIMES = struct.Struct("<BQBQ").pack
_KINDS = {b"": b"", **{b"%d" % kind: b"\x30%c" % kind for kind in range(6)}}
_FLAGS = _fixed32(b"\x85\x01")
_DROPPED = _small(b"\x50", _COUNT), _small(b"\x60", _COUNT), _small(b"\x70", _COUNT)
_STATE = _URL = _text(b"\x1a")


def encode(data: bytes) -> bytes:
    """An ExportTraceServiceRequest as bytes.

    Raises:
        Unusual: something in it is left to the official parser, or it is no such JSON.
    """
    try:
        if not data.isascii():
            data.decode()  # of a field that comes twice the decoder skips the first
        request = _DECODE(data)
        parts: list[bytes] = []
        for resource_spans in request.resourceSpans:
            inner = [_RESOURCES[bytes(resource_spans.resource)]]
            for scope_spans in resource_spans.scopeSpans:
                _delimited(inner, b"\x12", _scope_spans(scope_spans))
            _URL(inner, resource_spans.schemaUrl)
            _delimited(parts, b"\x0a", inner)
        return b"".join(parts)
    except _REFUSALS as error:
        raise Unusual from error


def _delimited(parts: list[bytes], tag: bytes, inner: list[bytes]) -> None:
    body = b"".join(inner)
    parts += (tag, _VARINT[len(body)], body)


def _scope_spans(scope_spans: _ScopeSpans) -> list[bytes]:
    parts = [_SCOPES[bytes(scope_spans.scope)]]
    for span in scope_spans.spans:
        _delimited(parts, b"\x12", _span(span))
    _URL(parts, scope_spans.schemaUrl)
    return parts


def _span(span: _Span) -> list[bytes]:
    trace, own, parent = map(unhexlify, (span.traceId, span.spanId, span.parentSpanId))
    name = span.name.encode()
    parts = [
        *(b"\x0a", _VARINT[len(trace)], trace, b"\x12", _VARINT[len(own)], own),
        *(
            _TIMES(0x39, span.startTimeUnixNano, 0x41, span.endTimeUnixNano),
            b"\x2a",
            _VARINT[len(name)],
            name,
        ),
        *map(_ATTRIBUTES.__getitem__, map(bytes, span.attributes)),
        _KINDS[bytes(span.kind)],
        _STATUSES[bytes(span.status)],
    ]
    if parent:
        parts += (b"\x22", _VARINT[len(parent)], parent)
    if span.flags:
        _FLAGS(parts, span.flags)
    if span.traceState:
        _STATE(parts, span.traceState)
    if span.events:
        parts += map(_event, map(bytes, span.events))
    if span.links:
        parts += map(_link, map(bytes, span.links))
    if span.droppedAttributesCount or span.droppedEventsCount or span.droppedLinksCount:
        _DROPPED[0](parts, span.droppedAttributesCount)
        _DROPPED[1](parts, span.droppedEventsCount)
        _DROPPED[2](parts, span.droppedLinksCount)
    return parts
