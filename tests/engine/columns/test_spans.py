"""The kernel against the official parser: same columns, or both refuse."""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from engine.columns import _kernel, _walk, spans
from engine.columns.spans import Reader, Refused
from slo import llm
from slo.columns import Column, Field, Kind, SpanBatch
from tests.strategies import otlp

FIELDS = (
    *(Field("intrinsic", name) for name in ("name", "kind", "status", "duration")),
    Field("span", "gen_ai.request.model"),
    Field("span", "gen_ai.response.model"),
    Field("span", "gen_ai.provider.name"),
    Field("span", "gen_ai.system"),
    Field("span", "tenant.id"),
    Field("span", "k"),
    Field("span", ""),
    Field("span", "ключ"),
    Field("resource", "service.name"),
    Field("resource", "k"),
    *sorted(llm.DERIVED),
    llm.OPERATION,
    llm.INPUT_TOKENS,
    llm.TIME_TO_FIRST_CHUNK,
    Field("span", "gen_ai.request.stream"),
    Field("span", "gen_ai.response.finish_reasons"),
)
READER = Reader(FIELDS)
MODEL = Field("span", "gen_ai.request.model")
slow_to_draw = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def values(batch: SpanBatch, field: Field) -> list[tuple[int, Any]]:
    kinds, bits = batch.columns[field]
    return [
        (kind, batch.strings[bit] if kind == Kind.STRING else bit)
        for kind, bit in zip(kinds.tolist(), bits.tolist(), strict=True)
    ]


def assert_same(ours: SpanBatch, theirs: SpanBatch) -> None:
    assert ours.start_ns.tolist() == theirs.start_ns.tolist()
    assert ours.end_ns.tolist() == theirs.end_ns.tolist()
    assert ours.trace_ids.tolist() == theirs.trace_ids.tolist()
    assert list(ours.columns) == list(theirs.columns)
    for field in theirs.columns:
        assert values(ours, field) == values(theirs, field), field
    assert len(set(ours.strings)) == len(ours.strings)


def assert_agreement(payload: bytes) -> None:
    try:
        raw = _walk.walk(_walk.parse(payload), READER.deriver)
    except ValueError:
        with pytest.raises(Refused):
            READER.read([payload])
        with pytest.raises(Refused):
            spans.check(payload)
        return
    assert_same(READER.read_raw([payload]), raw)
    assert_same(READER.read([payload]), READER.deriver.derive(raw))
    assert spans.check(payload) == len(raw)


@contextmanager
def interpreted() -> Iterator[None]:
    """The kernel as plain Python, where every access to the data is checked."""
    patch = pytest.MonkeyPatch()
    with patch.context() as patched, np.errstate(over="ignore"):
        patched.setattr(_kernel, "decode", _kernel.decode.py_func)
        patched.setattr(_kernel, "count", _kernel.count.py_func)
        yield


@slow_to_draw
@given(otlp.payloads)
def test_any_bytes_read_like_the_official_parser(payload: bytes) -> None:
    assert_agreement(payload)


@settings(slow_to_draw, max_examples=60)
@given(otlp.payloads)
def test_no_access_outside_the_buffer(payload: bytes) -> None:
    with interpreted():
        assert_agreement(payload)


@settings(slow_to_draw, max_examples=100)
@given(otlp.requests())
def test_well_formed_requests_never_leave_the_kernel(request: ExportTraceServiceRequest) -> None:
    data = request.SerializeToString()
    stopped, _ = READER._decode(spans._Joined([data]), 0)
    assert stopped == 1


@settings(slow_to_draw, max_examples=100)
@given(st.lists(otlp.payloads, max_size=4))
def test_several_payloads_are_one_batch(payloads: list[bytes]) -> None:
    try:
        parts = [READER.read([payload]) for payload in payloads]
    except Refused as refused:
        with pytest.raises(Refused, match=re.escape(refused.reason)):
            READER.read(payloads)
        return
    batch = READER.read(payloads)
    assert len(batch) == sum(map(len, parts))
    if parts:
        assert_same(batch, spans.concatenate(parts))


def test_no_read_behind_the_last_byte() -> None:
    """Every prefix of a request right in front of a page that must not be read."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.columns.guarded_page"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "prefixes" in done.stdout


def one(**attributes: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    for key, value in attributes.items():
        pair = span.attributes.add(key=key.replace("__", "."))
        kind = {str: "string", bool: "bool", int: "int", float: "double"}[type(value)]
        setattr(pair.value, f"{kind}_value", value)
    return request


def read_one(request: ExportTraceServiceRequest, field: Field = MODEL) -> tuple[int, Any]:
    assert_agreement(request.SerializeToString())
    return values(READER.read([request.SerializeToString()]), field)[0]


def test_aliases_by_preference_not_by_order() -> None:
    names = {"llm__model_name": "third", "llm__request__model_name": "second"}
    assert read_one(one(**names)) == (Kind.STRING, "second")
    assert read_one(one(**names, gen_ai__request__model="first")) == (Kind.STRING, "first")
    assert read_one(one(**names), Field("span", "gen_ai.response.model")) == (Kind.STRING, "third")


def test_resource_attributes_have_no_aliases() -> None:
    request = one()
    request.resource_spans[0].resource.attributes.add(key="tenant").value.string_value = "t"
    reader = Reader([Field("resource", "tenant.id"), Field("resource", "tenant")])
    batch = reader.read([request.SerializeToString()])
    assert values(batch, Field("resource", "tenant.id")) == [(Kind.NIL, 0)]
    assert values(batch, Field("resource", "tenant")) == [(Kind.STRING, "t")]


def test_last_of_a_repeated_key_stays() -> None:
    request = one(k="first")
    pair = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="k")
    pair.value.int_value = -7
    assert read_one(request, Field("span", "k")) == (Kind.INT, -7)


def test_resource_after_its_spans() -> None:
    request = one()
    resource_spans = request.resource_spans[0]
    body = resource_spans.scope_spans[0].SerializeToString()
    resource = ExportTraceServiceRequest().resource_spans.add().resource
    resource.attributes.add(key="service.name").value.string_value = "late"
    late = resource.SerializeToString()
    inner = b"\x12" + otlp.varint(len(body)) + body + b"\x0a" + otlp.varint(len(late)) + late
    payload = b"\x0a" + otlp.varint(len(inner)) + inner
    batch = READER.read([payload])
    assert values(batch, Field("resource", "service.name")) == [(Kind.STRING, "late")]
    assert_agreement(payload)


def test_values_keep_their_bits() -> None:
    nan = float("nan")
    assert read_one(one(k=2**63 - 1), Field("span", "k")) == (Kind.INT, 2**63 - 1)
    kind, bits = read_one(one(k=nan), Field("span", "k"))
    assert kind == Kind.FLOAT
    assert np.isnan(np.array([bits], np.int64).view(np.float64)[0])
    assert read_one(one(k=True), Field("span", "k")) == (Kind.BOOL, 1)


def test_duration_is_negative_where_clocks_disagree() -> None:
    request = one()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.start_time_unix_nano, span.end_time_unix_nano = 10, 4
    assert read_one(request, Field("intrinsic", "duration")) == (Kind.INT, -6)


@pytest.mark.parametrize("depth", [5, 15, 40, 60, 200])
def test_deep_nesting(depth: int) -> None:
    value = AnyValue(string_value="core").SerializeToString()
    for tag in b"\x0a\x2a" * depth + b"\x12":  # values, array_value, then KeyValue.value
        value = bytes([tag]) + otlp.varint(len(value)) + value
    for tag in b"\x4a\x12\x12\x0a":  # attributes, spans, scope_spans, resource_spans
        value = bytes([tag]) + otlp.varint(len(value)) + value
    assert_agreement(value)


def test_json_twenty_levels_deep_stays_with_the_kernel() -> None:
    value = AnyValue(string_value="core")
    for _ in range(18):
        outer = AnyValue()
        outer.kvlist_value.values.add(key="k").value.CopyFrom(value)
        value = outer
    request = one()
    pair = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep")
    pair.value.CopyFrom(value)
    stopped, _ = READER._decode(spans._Joined([request.SerializeToString()]), 0)
    assert stopped == 1


def test_much_of_an_odd_encoding_is_refused() -> None:
    """The official parser's messages take far more memory than columns; so it gets no large ones."""
    good = one(k="x" * 2000).SerializeToString()
    group = b"\xfb\x01\xfc\x01"
    few, many = good * 100 + group, good * 600 + group
    assert_agreement(few)
    for read in (lambda: READER.read([few, many]), lambda: spans.check(many)):
        with pytest.raises(Refused, match="odd forms of encoding"):
            read()


def test_spans_are_counted_before_they_are_read() -> None:
    assert spans.count(one().SerializeToString() * 7) == 7
    assert spans.count(b"\xff") == 0


def test_long_text_is_kept_whole() -> None:
    text = "é" * 100_000
    assert read_one(one(k=text), Field("span", "k")) == (Kind.STRING, text)
    broken = one(k="a" * 50_000).SerializeToString().replace(b"aaaa", b"aa\xe9a", 1)
    assert_agreement(broken)


def test_utf8_is_what_python_says() -> None:
    """Sequences of every length from the bytes at which the standard's table changes."""
    edges = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff")
    tails = bytes.fromhex("7f 80 8f 90 9f a0 bf c0")
    for lead in itertools.product(edges, edges):
        for tail in ((), *itertools.product(tails, repeat=1), *itertools.product(tails, repeat=2)):
            text = bytes((*lead, *tail))
            data = np.frombuffer(text, np.uint8)
            expected = text.decode(errors="ignore").encode() == text
            assert _kernel.is_utf8(data, 0, len(text)) == expected, text


def test_distinct_strings_of_many_rows() -> None:
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    for number in range(3000):
        span = scope_spans.spans.add(name=f"n{number % 7}")
        span.attributes.add(key="k").value.string_value = f"value-{number}"
    batch = READER.read([request.SerializeToString()])
    assert len(batch.strings) == 3007
    assert values(batch, Field("span", "k"))[2999] == (Kind.STRING, "value-2999")


def test_colliding_strings_are_left_to_the_slow_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash table under attack gives up instead of slowing down; the answer stays the same."""
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    for number in range(300):
        scope_spans.spans.add().attributes.add(key="k").value.string_value = f"v{number}"
    with interpreted():
        monkeypatch.setattr(_kernel, "mix", lambda _: np.uint64(0))
        assert_agreement(request.SerializeToString())


def test_refusal_names_the_payload() -> None:
    good = one(k=1).SerializeToString()
    with pytest.raises(Refused, match="payload 2 is no ExportTraceServiceRequest") as caught:
        READER.read([good, good, b"\xff", good])
    assert caught.value.index == 2


def test_nothing_to_read() -> None:
    for payloads in ([], [b""], [b"", b""]):
        batch = READER.read(payloads)
        assert len(batch) == 0
        assert batch.trace_ids.shape == (0, 16)
        assert batch.columns[MODEL].kinds.dtype == np.uint8
    assert isinstance(READER.read([]).columns[MODEL], Column)


def test_unknown_intrinsic_is_refused() -> None:
    with pytest.raises(ValueError, match="no intrinsic 'nmae'; there are name, kind"):
        Reader([Field("intrinsic", "nmae")])


def test_spans_smaller_than_any_seen_before_find_room() -> None:
    usual, tiny = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    span = usual.resource_spans.add().scope_spans.add().spans.add(end_time_unix_nano=5)
    span.attributes.add(key="k").value.string_value = "x" * 5000
    scope_spans = tiny.resource_spans.add().scope_spans.add()
    for n in range(3000):
        scope_spans.spans.add(end_time_unix_nano=n + 1)
    reader = Reader([Field("span", "k")])
    for _ in range(2):
        batch = reader.read([usual.SerializeToString(), tiny.SerializeToString()])
        assert batch.end_ns.tolist() == [5, *range(1, 3001)]
        assert batch.strings == ["x" * 5000]
