"""What the kernel must know before it reads, as arrays: protobuf's schema and the wanted keys."""

from collections.abc import Iterable, Sequence

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine import _kernel

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


def schema() -> NDArray[np.uint8]:
    """(message, field number) -> 0, `TEXT` or `SUBMESSAGE` + message, of official descriptors."""
    messages: dict[str, Descriptor] = {}
    waiting = [ExportTraceServiceRequest.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.full_name not in messages:
            messages[message.full_name] = message
            waiting += [f.message_type for f in message.fields if f.message_type]
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


def plan(wanted: Iterable[tuple[int, Sequence[str]]]) -> _kernel.Plan:
    """A search plan for keys.

    Args:
        wanted: for each field its number and the keys that it takes, most preferred first.
    """
    targets: dict[bytes, list[tuple[int, int]]] = {}
    for field, names in wanted:
        for rank, name in enumerate(names):
            targets.setdefault(name.encode(), []).append((field, rank))
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
