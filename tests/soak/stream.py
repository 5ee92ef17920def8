"""The stream that is played: spans and metrics made from a seed, and what they add up to, by hand.

Base traffic is nearly all good. Every `CYCLE` seconds another tenant (and model) without any traffic before
fails all of its calls, and then recovers at twice the rate: pages, tickets and budget alerts of its groups
start and end, and none of them hovers at its threshold, so that what is decided does not hang on the
moment at which something comes. A part of the spans is late, by seconds to weeks; metric payloads come
twice, or in the wrong order; writers start anew; and now and then everything is silent.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

NS = 1_000_000_000
STEP = 0.1
METRICS_EVERY = 5
BASE, BURST = 6, 4
CYCLE, BURN, RECOVERY = 60.0, 20.0, 30.0
# A tenant burns again once its last burn has left the long window of its tiers.
TENANTS = 11
# First errors of the base traffic: alone among few events one would be a burn.
CALM = 15.0
SILENCE_EVERY, SILENCE = 97.0, 6.0
LATE = (3, 70, 1200, 3 * 3600, 2 * 86400, 40 * 86400)
# So long a slice remembers what comes late.
SLICE, REMEMBERED = 10, 2400
EDGES = (0.5, 1.0, 2.5, 5.0)

SLOS = """\
apiVersion: burnline/v1
service: soak
slos:
  - name: availability
    objective: 99
    sli: &errors
      spans: {total: '{ span.gen_ai.operation.name = "chat" }', bad: '{ status = error }'}
    by: [span.gen_ai.request.model, span.tenant.id]
    alerts:
      tiers: &tiers
        page-fast: {short: 5m, long: 10m, factor: 50}
        page-slow: off
        ticket-fast: {short: 5m, long: 10m, factor: 35}
        ticket-slow: off
  - name: low-target
    objective: 60
    window: 10m
    sli: *errors
    by: [span.tenant.id]
    evidence: none
    alerts:
      tiers:
        page-fast: {short: 5m, long: 10m, factor: 14.4}
        page-slow: off
        ticket-fast: {short: 5m, long: 10m, factor: 1.25}
        ticket-slow: off
  - name: every
    objective: 10
    window: 7d
    sli: {spans: {total: '{ }', good: '{ status != error }'}}
  - name: sliced
    objective: 95
    window: 1d
    sli:
      spans: {total: '{ }', bad: '{ status = error }'}
      slices: {length: 10s, target: 90}
  - name: today
    objective: 60
    window: {calendar: day, time_zone: Asia/Kathmandu}
    sli: *errors
    by: [span.gen_ai.request.model]
  - name: requests
    objective: 99
    sli:
      metrics: {total: llm_requests_total, bad: 'llm_requests_total{status="error"}'}
    by: [model]
    alerts: {tiers: *tiers}
  - name: deltas
    objective: 60
    window: 1h
    sli:
      metrics: {total: llm_deltas_total, good: 'llm_deltas_total{status="ok"}'}
    by: [model]
  - name: slow
    objective: 30
    sli:
      metrics: {histogram: llm_duration, above: 2.5}
    by: [model]
  - name: slow-cumulative
    objective: 30
    sli:
      metrics: {histogram: llm_waiting, above: 2.5}
"""

Lane = Literal["spans-http", "spans-grpc", "metrics"]
LANES: tuple[Lane, ...] = ("spans-http", "spans-grpc", "metrics")
Key = tuple[str, ...]


class Payload(NamedTuple):
    """A request, to be sent in the order of its lane.

    Attributes:
        number: unique.
        lane: what sends it.
        at: Unix seconds at which it is due.
        body: protobuf.
    """

    number: int
    lane: Lane
    at: float
    body: bytes

    @property
    def signal(self) -> Literal["traces", "metrics"]:
        return "metrics" if self.lane == "metrics" else "traces"


class Phase(NamedTuple):
    """What goes on at a moment: nothing (rate 0), a burn, or a recovery from one."""

    who: str
    failed: bool
    rate: int


@dataclass
class Stream:
    """A stream that begins at a moment; iterate it once.

    Attributes:
        seed: of everything random.
        began: Unix seconds, a whole number.
        expected: events by (slo, result, group values…), of what was made so far.
        payloads: number made.
        spans: likewise.
        ending: set by `finish`: a last burn, in which the stream stops.
    """

    seed: int
    began: int
    expected: Counter[Key] = field(default_factory=Counter)
    payloads: int = 0
    spans: int = 0
    _ends: float | None = None
    _now: float = 0.0
    _slices: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._writers = [_Writer(self.began)]
        self._kept: list[bytes] = []

    def finish(self, seconds: float = 12.0) -> None:
        """End after a last burn."""
        self._ends = self._now + seconds

    def __iter__(self) -> Iterator[Payload]:
        step = 0
        while self._ends is None or self._now < self._ends:
            self._now = step * STEP
            if self._now % SILENCE_EVERY < SILENCE_EVERY - SILENCE:
                yield from self._step(step)
            step += 1

    def counts(self) -> dict[Key, int]:
        """The events that each counter must show once all is counted and the last slice is over."""
        found = Counter(self.expected)
        for bad, total in self._slices.values():
            verdict = Fraction(total - bad, total) < Fraction(9, 10)
            found["sliced", "bad" if verdict else "good"] += 1
        return {key: count for key, count in found.items() if count}

    def _step(self, step: int) -> Iterator[Payload]:
        phase = self._phase()
        for lane in LANES[:2]:
            yield self._payload(lane, self._traces(phase))
        if step % METRICS_EVERY == 0:
            for body in self._metrics(phase):
                yield self._payload("metrics", body)

    def _payload(self, lane: Lane, body: bytes) -> Payload:
        self.payloads += 1
        return Payload(self.payloads, lane, self.began + self._now, body)

    def _phase(self) -> Phase:
        if self._ends is not None:
            return Phase("last", failed=True, rate=BURST)
        cycle, passed = divmod(self._now, CYCLE)
        who = f"b{int(cycle) % TENANTS}"
        if passed < BURN:
            return Phase(who, failed=True, rate=BURST)
        return Phase(who, failed=False, rate=2 * BURST if passed < BURN + RECOVERY else 0)

    def _traces(self, phase: Phase) -> bytes:
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        now = self.began + self._now
        calls: list[tuple[str, str, bool, float]] = []
        for n in range(BASE):
            late = self.random.choice(LATE) if self.random.random() < 0.04 else 0
            failed = self._now > CALM and self.random.random() < 0.002
            ended = now - late - self.random.random() * 0.05
            calls.append((f"m{n % 2}", f"t{n % 3}", failed, ended))
        calls += [(phase.who, phase.who, phase.failed, now)] * phase.rate
        for model, tenant, failed, ended in calls:
            end_ns = int(ended * 1e9)
            span = spans.add(
                name=f"chat {model}",
                trace_id=self.random.randbytes(16),
                span_id=self.random.randbytes(8),
                start_time_unix_nano=end_ns - NS // 2,
                end_time_unix_nano=end_ns,
            )
            _describe(
                span,
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": model,
                    "tenant.id": tenant,
                },
            )
            if failed:
                span.status.code = span.status.STATUS_CODE_ERROR
            self._count(model, tenant, end_ns // NS, failed=failed)
        return request.SerializeToString()

    def _count(self, model: str, tenant: str, ended: int, *, failed: bool) -> None:
        result = "bad" if failed else "good"
        self.spans += 1
        self.expected["availability", result, model, tenant] += 1
        self.expected["low-target", result, tenant] += 1
        self.expected["every", result] += 1
        self.expected["today", result, model] += 1
        # Late by three hours is forgotten, by twenty minutes it is not; nothing comes near the limit.
        if ended > self.began + self._now - REMEMBERED:
            counts = self._slices.setdefault(ended // SLICE * SLICE, [0, 0])
            counts[0] += failed
            counts[1] += 1

    def _metrics(self, phase: Phase) -> Iterator[bytes]:
        now_ns = int((self.began + self._now) * 1e9)
        if self.random.random() < 0.01:  # another process of the application, from nothing
            self._writers.append(_Writer(self.began + self._now))
        body = self._writers[-1].export(now_ns, phase, self.random, self.expected)
        yield body
        self._kept = [*self._kept[-3:], body]
        chance = self.random.random()
        if chance < 0.05:
            yield body
        elif chance < 0.1:
            yield self.random.choice(self._kept)


class _Writer:
    """One process of the application: cumulative counters since its start, and deltas."""

    def __init__(self, started: float) -> None:
        self.start_ns = int(started * 1e9)
        self.before_ns = self.start_ns
        self.requests: Counter[tuple[str, str]] = Counter()
        self.waits = [0] * (len(EDGES) + 1)

    def export(
        self, now_ns: int, phase: Phase, rng: random.Random, expected: Counter[Key]
    ) -> bytes:
        """What happened since the last export; it is counted in `expected`."""
        now_ns = max(now_ns, self.start_ns + 1)
        fresh: Counter[tuple[str, str]] = Counter()
        for model in ("m0", "m1"):
            fresh[model, "ok"] += rng.randrange(1, 50)
            fresh[model, "error"] += 0
        if phase.rate:
            fresh[phase.who, "error" if phase.failed else "ok"] += 10 * phase.rate
            fresh[phase.who, "ok" if phase.failed else "error"] += 0
        self.requests.update(fresh)
        durations = {model: _buckets(rng) for model in ("m0", "m1")}
        waits = _buckets(rng)
        self.waits = [a + b for a, b in zip(self.waits, waits, strict=True)]
        for (model, status), count in fresh.items():
            result = "good" if status == "ok" else "bad"
            expected["requests", result, model] += count
            expected["deltas", result, model] += count
        for model, buckets in durations.items():
            expected["slow", "good", model] += sum(buckets[:3])
            expected["slow", "bad", model] += sum(buckets[3:])
        expected["slow-cumulative", "good"] += sum(waits[:3])
        expected["slow-cumulative", "bad"] += sum(waits[3:])
        request = self._request(now_ns, fresh, durations)
        self.before_ns = now_ns
        return request.SerializeToString()

    def _request(
        self, now_ns: int, fresh: Counter[tuple[str, str]], durations: dict[str, list[int]]
    ) -> ExportMetricsServiceRequest:
        request = ExportMetricsServiceRequest()
        metrics = request.resource_metrics.add().scope_metrics.add().metrics
        for name, counts, cumulative in (
            ("llm.requests", self.requests, True),
            ("llm.deltas", fresh, False),
        ):
            sums = metrics.add(name=name).sum
            sums.is_monotonic = True
            sums.aggregation_temporality = 2 if cumulative else 1
            for (model, status), count in counts.items():
                point = sums.data_points.add(
                    start_time_unix_nano=self.start_ns if cumulative else self.before_ns,
                    time_unix_nano=now_ns,
                    as_int=count,
                )
                _describe(point, {"model": model, "status": status})
        delta = metrics.add(name="llm.duration")
        for model, buckets in durations.items():
            self._histogram(delta, self.before_ns, now_ns, buckets, {"model": model})
        self._histogram(metrics.add(name="llm.waiting"), self.start_ns, now_ns, self.waits, {})
        return request

    def _histogram(
        self,
        metric: Metric,
        start_ns: int,
        now_ns: int,
        buckets: list[int],
        attributes: dict[str, str],
    ) -> None:
        metric.histogram.aggregation_temporality = 1 if attributes else 2
        point = metric.histogram.data_points.add(
            start_time_unix_nano=start_ns,
            time_unix_nano=now_ns,
            count=sum(buckets),
            bucket_counts=buckets,
            explicit_bounds=EDGES,
        )
        _describe(point, attributes)


def _buckets(rng: random.Random) -> list[int]:
    return [rng.randrange(5) for _ in EDGES[:3]] + [rng.randrange(2) for _ in EDGES[2:]]


def _describe(what: Message, attributes: dict[str, str]) -> None:
    for key, value in attributes.items():
        what.attributes.add(key=key).value.string_value = value
