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

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.soak.writer import Key, Phase, Writer, describe

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

Lane = Literal["spans-http", "spans-grpc", "metrics"]
LANES: tuple[Lane, ...] = ("spans-http", "spans-grpc", "metrics")


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
        self._writers = [Writer(self.began)]
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
            describe(
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
            self._writers.append(Writer(self.began + self._now))
        body = self._writers[-1].export(now_ns, phase, self.random, self.expected)
        yield body
        self._kept = [*self._kept[-3:], body]
        chance = self.random.random()
        if chance < 0.05:
            yield body
        elif chance < 0.1:
            yield self.random.choice(self._kept)
