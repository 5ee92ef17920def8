"""What the kernel must know before it reads, as arrays: protobuf's schema and the wanted keys."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from engine.columns import _kernel

_BY_HAND = (  # the order of the kernel's REQUEST, RESOURCE_SPANS, …
    "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
    "opentelemetry.proto.trace.v1.ResourceSpans",
    "opentelemetry.proto.resource.v1.Resource",
    "opentelemetry.proto.trace.v1.ScopeSpans",
    "opentelemetry.proto.trace.v1.Span",
    "opentelemetry.proto.trace.v1.Status",
    "opentelemetry.proto.common.v1.KeyValue",
    "opentelemetry.proto.common.v1.AnyValue",
)

_DELIMITED = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def schema() -> NDArray[np.uint8]:
    """(message, field number) -> 0, `TEXT` or `SUBMESSAGE` + message, of official descriptors."""
    messages = _messages(ExportTraceServiceRequest.DESCRIPTOR)
    names = [*_BY_HAND, *sorted(set(messages) - set(_BY_HAND))]
    widest = max(f.number for m in messages.values() for f in m.fields)
    cells = np.zeros((len(names), widest + 1), np.uint8)
    for row, name in enumerate(names):
        for field in messages[name].fields:
            if field.type == FieldDescriptor.TYPE_STRING:
                cells[row, field.number] = _kernel.TEXT
            elif field.message_type:
                below = names.index(field.message_type.full_name)
                cells[row, field.number] = _kernel.SUBMESSAGE + below
    return cells


def content_schema(request: Descriptor) -> NDArray[np.uint8]:
    """(message, field number) -> a cell for `_kernel.find_content`, for an OTLP request.

    Fields of text, bytes and packed numbers are kept, except a status's message: SDKs write there what
    an exception says.
    """
    messages = _messages(request)
    pair = KeyValue.DESCRIPTOR.full_name
    names = [request.full_name, pair, *sorted(set(messages) - {request.full_name, pair})]
    widest = max(f.number for m in messages.values() for f in m.fields)
    cells = np.zeros((len(names), widest + 1), np.uint8)
    for row, name in enumerate(names):
        for field in messages[name].fields:
            if field.message_type:
                below = names.index(field.message_type.full_name)
                is_pair = below == _kernel.PAIR_ROW
                cells[row, field.number] = _kernel.PAIR if is_pair else _kernel.BELOW + below
            elif field.type in _DELIMITED or field.is_repeated:
                cells[row, field.number] = _kernel.KEPT
    if Status.DESCRIPTOR.full_name in messages:
        message = Status.DESCRIPTOR.fields_by_name["message"].number
        cells[names.index(Status.DESCRIPTOR.full_name), message] = 0
    return cells


def _messages(request: Descriptor) -> dict[str, Descriptor]:
    """Every message that can be in a request, by its full name."""
    messages: dict[str, Descriptor] = {}
    waiting = [request]
    while waiting:
        message = waiting.pop()
        if message.full_name not in messages:
            messages[message.full_name] = message
            waiting += [f.message_type for f in message.fields if f.message_type]
    return messages


def plan(wanted: Iterable[tuple[int, Sequence[str]]]) -> _kernel.Plan:
    """A search plan for keys.

    Args:
        wanted: for each field its number and the keys that it takes, most preferred first.
    """
    targets: dict[bytes, list[tuple[int, int]]] = {}
    for field, names in wanted:
        for rank, name in enumerate(names):
            targets.setdefault(name.encode(), []).append((field, rank))
    return _plan(targets)


def plan_names(names: Iterable[str], fields: Mapping[str, int]) -> _kernel.Plan:
    """A search plan for names in this order, each with the field that takes it, if one does."""
    return _plan({name.encode(): [(fields[name], 0)] if name in fields else [] for name in names})


def _plan(targets: Mapping[bytes, Sequence[tuple[int, int]]]) -> _kernel.Plan:
    slots = np.full(256, -1, np.int32)
    keys = np.zeros((len(targets), 5), np.int64)
    flat: list[tuple[int, int]] = []
    text = b""
    for number, (key, taken_by) in enumerate(targets.items()):
        slot = _slot(key)
        keys[number] = (
            len(text), len(text) + len(key), slots[slot], len(flat), len(flat) + len(taken_by)
        )  # fmt: skip
        slots[slot] = number
        text += key
        flat += taken_by
    return _kernel.Plan(
        slots=slots,
        keys=keys,
        targets=np.array(flat, np.int64).reshape(len(flat), 2),
        text=np.frombuffer(text + bytes(8), np.uint8),
    )


def _slot(key: bytes) -> int:
    last = int.from_bytes(key[-8:], "little")
    return (((last ^ len(key)) * int(_kernel.MULTIPLIER)) & (2**64 - 1)) >> 56
