"""Content is blanked: nothing of it is left, and all else reads as before."""

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from structlog.testing import capture_logs

from engine.columns import _kernel, content, spans
from engine.columns._content_names import Names, table
from engine.columns.content import Redactor, digest_key, kept_names
from engine.columns.points import PointReader
from engine.columns.spans import Reader, Refused
from engine.service import Service, ServiceConfig, ServiceError
from engine.sinks.board import Board
from engine.spool.spool import Signal, Spool
from slo import load
from slo.columns import Field
from slo.loading import default_monitors
from slo.model import Objective
from tests.engine.columns.test_spans import FIELDS, assert_same
from tests.strategies import otlp, otlp_metrics

REQUESTS: dict[Signal, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
NAMES = Names(*table())
CANARY = "the canary sings"
REDACTOR = Redactor(tuple, b"key")
READER = Reader(FIELDS)
slow_to_draw = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def messages(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type:
            for below in value if field.is_repeated else (value,):
                found += messages(below)
    return found


def content_of(request: Message) -> list[KeyValue]:
    pairs = (m for m in messages(request) if isinstance(m, KeyValue))
    return [pair for pair in pairs if NAMES.mean_content(pair.key)]


def beside_content(signal: Signal, payload: bytes) -> bytes:
    """All of a payload but what is to be blanked."""
    request = REQUESTS[signal].FromString(payload)
    request.DiscardUnknownFields()
    for pair in content_of(request):
        if pair.HasField("value"):
            pair.value.string_value = ""
    for message in messages(request):
        if isinstance(message, Status):
            message.message = ""
    return request.SerializeToString(deterministic=True)


def is_blank(value: AnyValue) -> bool:
    text = value.string_value
    return (
        not value.WhichOneof("value")
        or not text.strip("*")
        or text.startswith("redacted")
        or list(json.loads(text)) == ["model"]
    )


def assert_blanked(signal: Signal, payload: bytes) -> None:
    try:
        REQUESTS[signal].FromString(payload)
    except DecodeError:
        return  # refused by the check, which comes before
    body, _ = REDACTOR.redact(signal, payload)
    assert beside_content(signal, body) == beside_content(signal, payload)
    request = REQUESTS[signal].FromString(body)
    for pair in content_of(request):
        # Of content within content the outer is blanked, and so the inner is gone.
        assert is_blank(pair.value), pair
    again = REDACTOR.redact(signal, body).body
    assert len(again) == len(body)


def interpret(patch: pytest.MonkeyPatch) -> None:
    """The kernels as plain Python, where every access to the data is checked."""
    patch.setattr(_kernel, "find_content", _kernel.find_content.py_func)
    patch.setattr(_kernel, "blank", _kernel.blank.py_func)


@slow_to_draw
@given(otlp.payloads)
def test_traces_read_as_before_but_for_content(payload: bytes) -> None:
    assert_blanked("traces", payload)


@settings(slow_to_draw, max_examples=100)
@given(
    st.one_of(
        otlp_metrics.requests().map(lambda request: request.SerializeToString()),
        otlp.wire(ExportMetricsServiceRequest.DESCRIPTOR),
    )
)
def test_metrics_read_as_before_but_for_content(payload: bytes) -> None:
    assert_blanked("metrics", payload)


@settings(slow_to_draw, max_examples=60)
@given(otlp.payloads)
def test_no_access_outside_the_buffer(payload: bytes) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched, np.errstate(over="ignore"):
        interpret(patched)
        assert_blanked("traces", payload)


@settings(slow_to_draw, max_examples=100)
@given(otlp.requests())
def test_the_kernels_take_what_they_leave_behind(request: ExportTraceServiceRequest) -> None:
    """Well-formed payloads keep their size, and blanked ones are still for the fast way."""
    payload = request.SerializeToString()
    body = REDACTOR.redact("traces", payload).body
    assert len(body) == len(payload)
    stopped, _ = READER._decode(spans._Joined([body]), 0)
    assert stopped == 1
    wanted = [f for f in FIELDS if not NAMES.mean_content(f.name)]
    reader = Reader(wanted)
    assert_same(reader.read([body]), reader.read([payload]))


def pair(key: str, value: AnyValue | str) -> KeyValue:
    if isinstance(value, str):
        value = AnyValue(string_value=value)
    return KeyValue(key=key, value=value)


def span_of(*pairs: KeyValue) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(end_time_unix_nano=1)
    span.attributes.extend(pairs)
    return request.SerializeToString()


def framed(*parts: tuple[bytes, bytes]) -> bytes:
    """Length-delimited fields: (tag, body) each."""
    return b"".join(tag + otlp.varint(len(body)) + body for tag, body in parts)


def span_with_pair(body: bytes) -> bytes:
    """A span whose only attribute is these bytes."""
    for tag in (b"\x4a", b"\x12", b"\x12", b"\x0a"):
        body = framed((tag, body))
    return body


def redacted(payload: bytes, signal: Signal = "traces") -> bytes:
    assert_blanked(signal, payload)
    return REDACTOR.redact(signal, payload).body


SIZES = (*range(140), *range(16370, 16390), *range(2**21 - 12, 2**21 + 4))


def test_values_of_every_size() -> None:
    """The length in front of the filler takes one more byte here and there."""
    keys = [pair("input.value", "x" * size) for size in SIZES]
    payload = span_of(*keys)
    body = REDACTOR.redact("traces", payload).body
    assert len(body) == len(payload)
    attributes = (
        ExportTraceServiceRequest.FromString(body)
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
        .attributes
    )
    for size, found in zip(SIZES, attributes, strict=True):
        text = found.value.string_value
        assert text == "*" * len(text)
        # What the longer length takes is missing from the text.
        assert size - 4 <= len(text) <= size
    assert_blanked("traces", body)


@pytest.mark.parametrize(
    "value",
    [
        AnyValue(int_value=-7),
        AnyValue(bool_value=True),
        AnyValue(double_value=0.5),
        AnyValue(bytes_value=CANARY.encode()),
        AnyValue(array_value={"values": [AnyValue(string_value=CANARY)]}),
        AnyValue(kvlist_value={"values": [KeyValue(key=CANARY, value=AnyValue(int_value=1))]}),
        AnyValue(),
    ],
)
def test_values_of_every_kind(value: AnyValue) -> None:
    body = redacted(span_of(pair("gen_ai.output.messages", value), pair("tenant.id", "acme")))
    assert CANARY.encode() not in body
    assert b"acme" in body


@pytest.mark.parametrize("name", ["llm.invocation_parameters", "embedding.invocation_parameters"])
def test_of_a_calls_parameters_the_model_stays(name: str) -> None:
    text = json.dumps({"stop": [CANARY], "model": "gpt-4o", "nested": {"model": CANARY}})
    for more in ("", "x" * 200, "x" * 70_000):
        body = redacted(span_of(pair("input.value", CANARY), pair(name, text + " " * len(more))))
        assert CANARY.encode() not in body
        assert (b'{"model":"gpt-4o"}' in body) == (len(more) < 70_000)
    for odd in ("{", "[1]", '{"model": 7}', '{"model": "a\\"b"}', "[" * 9000, '{"model": null}'):
        assert b"model" not in redacted(span_of(pair(name, odd)))
    odd_order = framed(
        (b"\x12", AnyValue(string_value=text).SerializeToString()), (b"\x0a", name.encode())
    )
    assert CANARY.encode() not in redacted(span_with_pair(odd_order))
    long_length = b"\x0a" + otlp.varint(len(text), 4) + text.encode()
    assert CANARY.encode() not in redacted(
        span_with_pair(framed((b"\x0a", name.encode()), (b"\x12", long_length)))
    )


KEY = (b"\x0a", b"input.value")
VALUE = (b"\x12", AnyValue(string_value=CANARY).SerializeToString())
UNKNOWN = (b"\x7a", CANARY.encode())


@pytest.mark.parametrize(
    "body",
    [
        framed(KEY, VALUE),
        framed(VALUE, KEY),
        framed(VALUE, KEY, VALUE, VALUE),
        framed((b"\x0a", CANARY.encode()), KEY, VALUE),
        framed((b"\x0a", b"model"), VALUE, KEY),
        framed(UNKNOWN, KEY, UNKNOWN, VALUE, UNKNOWN),
        framed((b"\x8a\x00", KEY[1]), (b"\x92\x00", VALUE[1])),
        framed((b"\x8a\x80\x00", KEY[1]), (b"\x92\x80\x00", VALUE[1])),
        framed(KEY, (b"\x12", VALUE[1] + b"\x18\x07")),
        framed(KEY, (b"\x12", VALUE[1] + framed(UNKNOWN))),
        b"\x10\x07" + framed(KEY, VALUE) + b"\x1d\0\0\0\0\x21" + bytes(8),
        framed(KEY, VALUE) + b"\x7b\x0a\x02hi\x7c",
        framed(KEY) + b"\x12" + otlp.varint(len(VALUE[1]), 4) + VALUE[1],
    ],
    ids=range(13),
)
def test_unusual_encodings_of_an_attribute(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = span_with_pair(body)
    assert CANARY.encode() in payload
    assert CANARY.encode() not in redacted(payload)
    interpret(monkeypatch)
    with np.errstate(over="ignore"):
        assert CANARY.encode() not in redacted(payload)


def test_the_last_of_two_names_counts() -> None:
    payload = span_with_pair(framed(KEY, VALUE, (b"\x0a", b"tenant.id")))
    assert REDACTOR.redact("traces", payload) == (payload, 0)


def test_wherever_an_attribute_can_stand() -> None:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    scope_spans = resource_spans.scope_spans.add()
    span = scope_spans.spans.add(name="chat", status=Status(message=CANARY, code=2))
    event, link = span.events.add(name="e"), span.links.add()
    nested = AnyValue(kvlist_value={"values": [pair("input.value", CANARY), pair("k", "kept")]})
    holders: list[Any] = [resource_spans.resource, scope_spans.scope, span, event, link]
    for holder in holders:
        holder.attributes.append(pair("prompt", CANARY))
        holder.attributes.append(pair("custom", nested))
        holder.attributes.append(pair("list", AnyValue(array_value={"values": [nested]})))
    payload = request.SerializeToString()
    body, values = REDACTOR.redact("traces", payload)
    assert_blanked("traces", payload)
    assert CANARY.encode() not in body
    assert body.count(b"kept") == 10
    assert values == 3 * 5 + 1
    assert (
        ExportTraceServiceRequest.FromString(body)
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
        .status.code
        == 2
    )


def test_fields_that_nobody_knows_are_blanked_everywhere() -> None:
    unknown = framed((b"\xfa\x01", CANARY.encode()))  # field 31
    body = unknown
    for tag in (b"\x7a", b"\x12", b"\x12", b"\x0a"):  # status, span, scope, resource
        body = framed((tag, body)) + unknown
    # A known field of another type is unknown, too: the span's kind as a text.
    kind = framed((b"\x0a", framed((b"\x12", framed((b"\x12", framed((b"\x32", b"canary"))))))))
    for payload in (body, body + kind):
        found = redacted(payload)
        assert CANARY.encode() not in found
        assert b"canary" not in found
        assert len(found) == len(payload)


@pytest.mark.parametrize("depth", [5, 15, 40, 46])
def test_deep_nesting(depth: int) -> None:
    value = pair("input.value", CANARY).SerializeToString()
    for _ in range(depth):  # kvlist of one, in a KeyValue
        value = framed((b"\x0a", value))
        value = framed((b"\x0a", b"k"), (b"\x12", framed((b"\x32", value))))
    payload = span_with_pair(value)
    try:
        ExportTraceServiceRequest.FromString(payload)
    except DecodeError:
        assert depth > 30
        return
    assert CANARY.encode() not in redacted(payload)


def test_more_places_than_fit_at_once() -> None:
    many = [pair("input.value", f"{CANARY} {n}") for n in range(3 * content._PLACES + 5)]
    body, values = REDACTOR.redact("traces", span_of(*many, pair("tenant.id", "acme")))
    assert values == len(many)
    assert CANARY.encode() not in body
    assert b"acme" in body
    # One attribute alone has more than fit.
    crowded = framed(KEY, VALUE, *[UNKNOWN] * (content._PLACES + 1))
    assert CANARY.encode() not in redacted(span_of(*many) + span_with_pair(crowded))


def test_nothing_to_blank_is_not_even_copied() -> None:
    payload = span_of(pair("gen_ai.request.model", "gpt-4o"), pair("gen_ai.prompt.name", "p"))
    for body in (b"", payload):
        found = REDACTOR.redact("traces", body)
        assert found.body is body
        assert found.values == 0


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(Refused, match="Error parsing message"):
        REDACTOR.redact("traces", b"\x0a\x05abc")


def name_of(pattern: str, middle: str) -> str:
    return pattern.replace("*", middle)


patterns = st.sampled_from((*table().content, *table().others))
names = st.one_of(
    st.builds(name_of, patterns, st.sampled_from(("", "0", "openai", ".0.", "x" * 20))),
    st.builds(lambda p, n: name_of(p, "0")[:n], patterns, st.integers(0, 30)),
    st.builds(lambda p, more: name_of(p, "1") + more, patterns, st.sampled_from((".", "s", "é"))),
    st.text(max_size=12),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(names, max_size=8))
def test_the_kernel_knows_the_same_names(keys: list[str]) -> None:
    values = REDACTOR.redact("traces", span_of(*(pair(key, CANARY) for key in keys))).values
    assert values == sum(map(NAMES.mean_content, keys))


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.usage.input_tokens",
        "gen_ai.request.model",
        "gen_ai.operation.name",
        "gen_ai.output.type",
        "gen_ai.prompt.name",
        "gen_ai.prompt.version",
        "gen_ai.tool.name",
        "gen_ai.tool.call.id",
        "gen_ai.response.finish_reasons",
        "llm.token_count.prompt",
        "llm.token_count.completion",
        "llm.cost.prompt",
        "llm.model_name",
        "llm.request.type",
        "error.type",
        "exception.type",
        "tenant.id",
        "http.route",
        "input.mime_type",
        "ai.model.id",
        "ai.usage.promptTokens",
        "langfuse.prompt.name",
        "traceloop.entity.name",
        "metadata.user_api_key_alias",
    ],
)
def test_what_slos_use_is_no_content(name: str) -> None:
    assert not NAMES.mean_content(name)


def test_every_name_of_the_aliases_is_kept() -> None:
    from slo.aliases import table as aliases  # noqa: PLC0415

    for canonical, alias in aliases().items():
        names = (canonical, *alias.also, *alias.milliseconds, *alias.when_streamed)
        assert not [name for name in names if NAMES.mean_content(name)]


SLOS = """\
apiVersion: burnline/v1
service: s
slos:
  - name: spans
    objective: 99
    sli:
      spans:
        total: '{ span.input.value != nil && span.llm.model_name = "m" }'
        bad: '{ resource.prompt = "p" }'
    by: [span.gen_ai.completion.0.finish_reason]
    explain: [span.message, span.tenant.id]
  - name: points
    objective: 99
    sli:
      metrics:
        total: 'm{question!=""}'
        bad: 'm{tool_description="x"}'
    by: [gen_ai_prompt]
"""


def objectives(text: str = SLOS) -> tuple[Objective, ...]:
    loaded = load({"s.yaml": text})
    assert not loaded.problems
    return tuple(loaded.objectives)


def test_what_slos_name_is_kept() -> None:
    assert kept_names(objectives()) == {
        *("input.value", "prompt", "gen_ai.completion.0.finish_reason", "message"),
        *("question", "tool.description", "gen_ai.prompt"),
    }


MONITORS = """\
apiVersion: burnline/v1
service: s
anomalies:
  - name: spans
    spans: '{ span.input.value != nil }'
    by: [resource.prompt]
    watch: [{errors: '{ span.message = "m" }'}, {mean: span.question}, rate]
  - name: points
    by: [gen_ai_prompt]
    watch: [{metric: 'm{tool_description="t"}'}]
"""


def test_what_monitors_name_is_kept() -> None:
    named = ("input.value", "prompt", "message", "question", "gen_ai.prompt", "tool.description")
    assert set(named) <= kept_names(load({"m": MONITORS}).monitors)
    assert not kept_names(load({"m": MONITORS.partition("  - name")[0] + "  []"}).monitors)


def test_the_default_monitors_name_no_content() -> None:
    assert not kept_names(default_monitors())


def test_a_reload_counts_with_the_next_payload_and_the_log_tells_once() -> None:
    now: list[Objective] = []
    redactor = Redactor(lambda: now, b"")
    payload = span_of(pair("input.value", CANARY), pair("output.value", CANARY))
    with capture_logs() as logs:
        assert redactor.redact("traces", payload).values == 2
        assert not logs
        now += objectives()
        for _ in range(2):
            body, values = redactor.redact("traces", payload)
            assert (values, body.count(CANARY.encode())) == (1, 1)
        told = [entry["attribute"] for entry in logs]
        assert sorted(told) == sorted(kept_names(objectives()))
        now.clear()
        assert redactor.redact("traces", payload).values == 2
        now += objectives()
        assert redactor.redact("traces", payload).values == 1
    assert len(logs) == len(told)


def counter(texts: list[str], key: str = "input.value") -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.sum.aggregation_temporality = 2  # type: ignore[assignment]  # enums are open
    metric.sum.is_monotonic = True
    for text in texts:
        point = metric.sum.data_points.add(as_int=1, time_unix_nano=5, start_time_unix_nano=1)
        point.attributes.append(pair(key, text))
        point.exemplars.add().filtered_attributes.append(pair("prompt", CANARY))
    return request.SerializeToString()


def test_series_of_metrics_stay_apart() -> None:
    reader = PointReader([o for o in objectives() if o.name == "points"])

    def streams(body: bytes) -> list[bytes]:
        return [point.stream for point in reader.read(body) if point.role == "total"]

    texts = ["y", "n", CANARY, CANARY + "!", "z"]
    payload = counter(texts)
    request = ExportMetricsServiceRequest.FromString(payload)
    for point in request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points:
        point.attributes.append(pair("question", "q"))
    payload = request.SerializeToString()
    body, values = REDACTOR.redact("metrics", payload)
    assert CANARY.encode() not in body
    assert values == 2 * len(texts) + len(texts)  # `question` is not kept by this redactor
    kept = Redactor(objectives, b"key")
    body = kept.redact("metrics", payload).body
    assert CANARY.encode() in body  # `input.value` is named by an SLO over spans
    other = counter(texts, "output.value")
    first, again = (Redactor(objectives, b"key").redact("metrics", other).body for _ in range(2))
    assert first == again
    assert Redactor(objectives, b"another").redact("metrics", other).body != first
    digests = {
        p.value.string_value for p in content_of(ExportMetricsServiceRequest.FromString(first))
    }
    assert len(digests) == len(texts) + 1
    assert len(set(streams(body))) == len(texts)


def test_the_digests_key_stays(tmp_path: Path) -> None:
    path = tmp_path / "content.key"
    key = digest_key(path)
    assert len(key) == 32
    assert digest_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"torn")
    assert len(digest_key(path)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "content.key").mkdir()
    spool = Spool(tmp_path / "spool.db")
    try:
        with pytest.raises(ServiceError, match=r"content\.key can't be used \(Is a directory\)"):
            Service.start(
                ServiceConfig(Board([]), spool, otlp_grpc=None, otlp_http=None, listen=None)
            )
    finally:
        spool.close()


def test_field_names_of_the_reader_are_those_of_the_wire() -> None:
    """A kept attribute is read as before; a blanked one as a text of stars."""
    field = Field("span", "input.value")
    payload = span_of(pair("input.value", CANARY))
    assert Reader([field]).read([payload]).strings == [CANARY]
    body = REDACTOR.redact("traces", payload).body
    assert Reader([field]).read([body]).strings == ["*" * len(CANARY)]


def test_an_event_is_not_touched_beyond_its_content() -> None:
    event = Span.Event(name="exception", attributes=[pair("exception.type", "RateLimitError")])
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(events=[event])
    span.events[0].attributes.append(pair("exception.message", CANARY))
    body = REDACTOR.redact("traces", request.SerializeToString()).body
    assert CANARY.encode() not in body
    assert b"RateLimitError" in body
