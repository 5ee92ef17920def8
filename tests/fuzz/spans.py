"""Span payloads: the kernel and the official parser give the same columns, or both refuse."""

import random
from collections.abc import Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns import _walk, spans
from engine.columns.spans import Refused
from tests.engine.columns.test_spans import READER, assert_same, interpreted
from tests.fuzz.messages import random_message

NOW_NS = 1_700_000_000 * 10**9


def spans_seeds(random_: random.Random) -> Sequence[bytes]:
    requests = (
        random_message(random_, ExportTraceServiceRequest(), NOW_NS).SerializeToString()
        for _ in range(60)
    )
    return [*requests, b"", random_.randbytes(40)]


def spans_check(data: bytes) -> bool:
    try:
        expected = _walk.walk(_walk.parse(data), READER.deriver)
    except ValueError:
        for read in (lambda: READER.read([data]), lambda: spans.check(data)):
            try:
                read()
            except Refused:
                continue
            raise AssertionError("accepted, though the official parser refuses it") from None
        return False
    assert_same(READER.read_raw([data]), expected)
    if spans.check(data) != len(expected):
        raise AssertionError("check counts other spans")
    return True


kernel_seeds = spans_seeds


def kernel_check(data: bytes) -> bool:
    with interpreted():
        return spans_check(data[:800])
