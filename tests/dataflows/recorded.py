"""A small recording with an incident: calls as spans and metrics in every form, and counts of it by hand.

Every 20 s for 90 minutes twelve calls of two models and two tenants (or none), one of them five minutes
late; for ten minutes every call of m1 for acme fails. Midnight in Berlin is half an hour after the start.
"""

import gzip
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson
import zstandard
from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from tests.engine.columns.test_otlp_json import to_json
from tests.strategies.otlp import varint

START = int(datetime(2026, 6, 1, 21, 30, tzinfo=UTC).timestamp())
MIDNIGHT = int(datetime(2026, 6, 2, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
STEP, STEPS, CALLS = 20, 270, 12
END = START + STEP * STEPS
INCIDENT = range(START + 3600, START + 4200)
LATE = 300
ABOVE = 2.5
NS = 1_000_000_000
MODEL, TENANT = "span.gen_ai.request.model", "span.tenant.id"

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: chat
    objective: 99
    sli: &errors
      spans: {total: '{ span.gen_ai.operation.name = "chat" }', bad: '{ status = error }'}
  - name: grouped
    objective: 99
    window: 7d
    sli: *errors
    by: [span.gen_ai.request.model, span.tenant.id]
    evidence: none
  - name: fast
    objective: 90
    window: 28d
    sli:
      spans: {total: '{ }', good: '{ duration < 2s }'}
  - name: sliced
    objective: 95
    window: 1d
    sli:
      spans: {total: '{ }', bad: '{ status = error }'}
      slices: {length: 1m, target: 90}
  - name: today
    objective: 99
    window: {calendar: day, time_zone: Europe/Berlin}
    sli: *errors
    by: [span.gen_ai.request.model]
  - name: requests
    objective: 99
    sli:
      metrics: {total: llm_requests_total, bad: 'llm_requests_total{status="error"}'}
    by: [model]
  - name: requests-good
    objective: 99
    sli:
      metrics: {total: llm_requests_total, good: 'llm_requests_total{status="ok"}'}
  - name: slow
    objective: 80
    sli:
      metrics: {histogram: '{"llm.duration", model="m1"}', above: 2.5}
  - name: unheard
    objective: 99
    sli:
      spans: {total: '{ name = "nothing is called so" }', bad: '{ status = error }'}
"""


class Call(NamedTuple):
    """A call of a model; `sent` is the time of the export that has it."""

    sent: int
    end_ns: int
    duration_ns: int
    model: str
    tenant: str
    failed: bool

    @property
    def end(self) -> int:
        return self.end_ns // NS


def calls() -> Iterator[Call]:
    for step in range(1, STEPS + 1):
        sent = START + STEP * step
        for i in range(CALLS):
            end_ns = (sent - LATE) * NS if i == CALLS - 1 else sent * NS - i * 1_500_000_000
            model, tenant = f"m{i % 2 + 1}", ("acme", "zen", "")[i % 3]
            burning = sent in INCIDENT and (model, tenant) == ("m1", "acme")
            failed = burning or (step % 9 == 0 and i == 5)
            duration_ns = 400_000_000 + (step * 7 + i) % 30 * 100_000_000
            yield Call(sent, end_ns, duration_ns, model, tenant, failed)


def traces() -> list[ExportTraceServiceRequest]:
    """One request a step."""
    requests: dict[int, ExportTraceServiceRequest] = {}
    for number, call in enumerate(calls()):
        request = requests.setdefault(call.sent, ExportTraceServiceRequest())
        span = (
            request.resource_spans.add()
            .scope_spans.add()
            .spans.add(
                name=f"chat {call.model}",
                trace_id=number.to_bytes(16, "big"),
                start_time_unix_nano=call.end_ns - call.duration_ns,
                end_time_unix_nano=call.end_ns,
            )
        )
        found = {"gen_ai.operation.name": "chat", "gen_ai.request.model": call.model}
        if call.tenant:
            found["tenant.id"] = call.tenant
        for key, value in found.items():
            span.attributes.add(key=key).value.string_value = value
        if call.failed:
            span.status.code = span.status.STATUS_CODE_ERROR
    return list(requests.values())


def metrics() -> list[ExportMetricsServiceRequest]:
    """What the SDK exports, one request a minute: cumulative counters and a delta histogram.

    The SDK's times are the wall clock's; they are moved to those of the recording.
    """
    reader = InMemoryMetricReader(preferred_temporality={Histogram: AggregationTemporality.DELTA})
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    requests = meter.create_counter("llm.requests")
    durations = meter.create_histogram(
        "llm.duration", "s", explicit_bucket_boundaries_advisory=[0.5, 1, ABOVE, 5]
    )
    for model in ("m1", "m2"):
        requests.add(0, {"model": model, "status": "ok"})
    exports = [_exported(reader, START)]
    by_minute: dict[int, list[Call]] = {}
    for call in calls():
        by_minute.setdefault(-(-(call.sent - START) // 60) * 60 + START, []).append(call)
    for time, minute in by_minute.items():
        for call in minute:
            status = "error" if call.failed else "ok"
            requests.add(1, {"model": call.model, "status": status})
            durations.record(call.duration_ns / NS, {"model": call.model})
        exports.append(_exported(reader, time))
    provider.shutdown()
    return exports


def _exported(reader: InMemoryMetricReader, time: int) -> ExportMetricsServiceRequest:
    data = reader.get_metrics_data()
    assert data is not None
    request = encode_metrics(data)
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        delta = metric.WhichOneof("data") == "histogram"
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            point.start_time_unix_nano = (time - 60 if delta else START - 86_400) * NS
            point.time_unix_nano = time * NS
    return request


Key = tuple[str, tuple[tuple[str, str], ...]]


def expected() -> dict[Key, tuple[int, int]]:
    """(bad, total) of every budget, one call at a time."""
    bad: Counter[Key] = Counter()
    total: Counter[Key] = Counter()
    slices: dict[int, list[bool]] = {}

    def count(slo: str, *, failed: bool, **group: str) -> None:
        key = (slo, tuple(group.items()))
        bad[key] += failed
        total[key] += 1

    for call in calls():
        count("chat", failed=call.failed)
        count("grouped", failed=call.failed, **{MODEL: call.model, TENANT: call.tenant})
        count("fast", failed=call.duration_ns >= 2 * NS)
        if call.end >= MIDNIGHT:
            count("today", failed=call.failed, **{MODEL: call.model})
        count("requests", failed=call.failed, model=call.model)
        count("requests-good", failed=call.failed)
        if call.model == "m1":
            count("slow", failed=call.duration_ns > ABOVE * NS)
        slices.setdefault(call.end // 60 * 60, []).append(call.failed)
    for start, outcomes in slices.items():
        if start + 60 <= END:
            good = Fraction(outcomes.count(False), len(outcomes))
            count("sliced", failed=good < Fraction(90, 100))
    total["unheard", ()] = 0
    return {key: (bad[key], total[key]) for key in total}


def json_lines(requests: Iterable[Message]) -> bytes:
    return b"".join(orjson.dumps(to_json(request)) + b"\n" for request in requests)


def four_bytes(requests: Iterable[Message]) -> bytes:
    bodies = [request.SerializeToString() for request in requests]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def delimited(requests: Iterable[Message]) -> bytes:
    bodies = [request.SerializeToString() for request in requests]
    return b"".join(varint(len(body)) + body for body in bodies)


FORMS: dict[str, Callable[[Sequence[Message]], bytes]] = {
    "jsonl": json_lines,
    "four": four_bytes,
    "varint": delimited,
}
PACKS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}
