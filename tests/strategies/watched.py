"""Spans that are watched: how they are drawn, sent, and gathered one event at a time."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns.measure import Measurer
from engine.spool.arrivals import Arrivals
from slo import load
from slo.anomalies.gathering import GRACE, HOLD, Gathering
from slo.anomalies.messages import Readings, Sampled
from slo.anomalies.model import Monitor

BEGIN = 1_700_000_040  # no multiple of a minute
EVERY = 30
STEP = 20
MONITORS: tuple[Monitor, ...] = load(
    {
        "watched.yaml": """\
apiVersion: burnline/v1
service: file
anomalies:
  - name: models
    spans: '{ name = "chat" }'
    by: [resource.service.name, span.model]
    every: 30s
    watch:
      - rate
      - errors
      - {quantile: 95, of: duration}
      - {quantile: 50, of: span.tokens}
      - {sum: span.tokens, per: 1m}
      - {mean: span.tokens}
      - {rate: '{ span.model = "a" }', name: of_a}
  - name: all
    spans: '{ }'
    every: 10s
    watch: [rate, {errors: '{ duration > 2s }'}]
"""
    }
).monitors

METRICS: tuple[Monitor, ...] = load(
    {
        "m.yaml": """\
apiVersion: burnline/v1
service: file
anomalies:
  - name: metrics
    by: [service_name, model]
    watch:
      - {metric: 'llm_requests_total', per: 1m}
      - {metric: 'llm_cost_total', name: cost, per: 1m}
      - {metric: 'queue_depth'}
      - {metric: 'in_flight'}
      - {metric: 'llm_duration', quantile: 90}
      - {metric: 'llm_duration_count', name: observed}
"""
    }
).monitors


class Event(NamedTuple):
    """A span; `ago` is how long before its arrival it ended."""

    ago: int
    duration_ns: int
    service: str
    model: str | None
    failed: bool
    tokens: float | str | None
    name: str = "chat"


NUMBERS = st.one_of(
    st.none(),
    st.integers(-5, 5000),
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-200),
    st.integers(0, 99).map(str),
    st.sampled_from(["many", "", math.nan, math.inf, "1e3"]),
)
EVENTS = st.builds(
    Event,
    ago=st.one_of(st.integers(0, 25), st.integers(0, 100)),
    duration_ns=st.integers(0, 10**10),
    service=st.sampled_from(["x", "y", ""]),
    model=st.sampled_from(["a", "b", None]),
    failed=st.booleans(),
    tokens=NUMBERS,
    name=st.sampled_from(["chat", "chat", "other"]),
)
# What arrives together, every STEP seconds.
BATCHES = st.lists(st.lists(EVENTS, max_size=12), min_size=1, max_size=12)


def clock_of(number: int) -> float:
    return BEGIN + STEP * number + 0.5


def payload(events: Iterable[Event], clock: float) -> bytes:
    request = ExportTraceServiceRequest()
    for number, event in enumerate(events):
        resource = request.resource_spans.add()
        if event.service:
            resource.resource.attributes.add(key="service.name").value.string_value = event.service
        end_ns = (int(clock) - event.ago) * 10**9
        span = resource.scope_spans.add().spans.add(
            name=event.name,
            trace_id=(number + 1).to_bytes(16, "big"),
            start_time_unix_nano=end_ns - event.duration_ns,
            end_time_unix_nano=end_ns,
        )
        if event.model is not None:
            span.attributes.add(key="model").value.string_value = event.model
        if isinstance(event.tokens, str):
            span.attributes.add(key="tokens").value.string_value = event.tokens
        elif isinstance(event.tokens, int):
            span.attributes.add(key="tokens").value.int_value = event.tokens
        elif event.tokens is not None:
            span.attributes.add(key="tokens").value.double_value = event.tokens
        span.status.code = 2 if event.failed else 0
    return request.SerializeToString()


def arrivals(batches: Sequence[Sequence[Event]]) -> list[Arrivals]:
    """A first tick, each batch at its clock, and ticks until all is closed."""
    found = [Arrivals(BEGIN, tick=True)]
    for number, events in enumerate(batches):
        clock = clock_of(number)
        found.append(Arrivals(clock, (payload(events, clock),), tick=True, watermarks=(clock, 0.0)))
    last = clock_of(len(batches) - 1)
    found += [Arrivals(last + n, tick=True, watermarks=(last, 0.0)) for n in range(20, 121, 20)]
    return found


class Gathered:
    """Measurers and gatherings of a few shards.

    Attributes:
        readings: all, in order.
        unjudged: events that came to no reading.
    """

    def __init__(self, monitors: Sequence[Monitor] = MONITORS, shards: int = 3) -> None:
        self.readings: list[Readings] = []
        self.unjudged: dict[str, int] = defaultdict(int)
        self.shards: dict[str, Gathering] = {}
        self.monitors = {m.id: m for m in monitors}
        self.measurer = Measurer((), shards, 30.0, monitors=monitors, unjudged=self._count)

    def _count(self, reason: str, events: int) -> None:
        self.unjudged[reason] += events

    def take(self, arrived: Arrivals) -> None:
        for shard, sampled in self.measurer.measure(arrived):
            if isinstance(sampled, Sampled):
                gathering = self.shards.get(shard)
                if gathering is None:
                    gathering = Gathering(self.monitors, 300.0, 1000, self._count)
                    self.shards[shard] = gathering
                self.readings += gathering.take(sampled)


Row = tuple[str, tuple[str, ...], str, int]  # monitor, group, feature, end


def rows(readings: Iterable[Readings]) -> dict[Row, tuple[float, int]]:
    """(value, count) of every reading that has a value."""
    found: dict[Row, tuple[float, int]] = {}
    for one in readings:
        for key, value, count in zip(one.keys, one.values, one.counts, strict=True):
            if not math.isnan(value):
                row = (key.entity.monitor, key.entity.group, key.feature, int(one.at))
                assert row not in found
                found[row] = float(value), int(count)
    return found


def by_hand(batches: Sequence[Sequence[Event]]) -> tuple[dict[Row, tuple[float, int]], int]:
    """What `rows` should be, one event at a time; and how many events came too late."""
    kept: dict[tuple[str, tuple[str, ...], int], list[Event]] = defaultdict(list)
    apart = 0
    for number, events in enumerate(batches):
        clock = int(clock_of(number))
        for monitor, event in ((m, e) for e in events for m in _watching(e)):
            every = 30 if monitor == "file-models" else 10
            end = ((clock - event.ago) // every + 1) * every
            if end + GRACE <= clock or end <= -(-BEGIN // every) * every:
                apart += 1
                continue
            group = (event.service, event.model or "") if every == 30 else ()
            kept[monitor, group, end].append(event)
    last = int(clock_of(len(batches) - 1) + 120)
    found: dict[Row, tuple[float, int]] = {}
    for monitor, group in {key[:2] for key in kept}:
        every = 30 if monitor == "file-models" else 10
        begun = min(end for m, g, end in kept if (m, g) == (monitor, group))
        seen: set[str] = set()
        for end in range(begun, (last - HOLD) // every * every + 1, every):
            events = kept.get((monitor, group, end), [])
            values = {
                name: one
                for name, one in _features(monitor, events).items()
                if not math.isnan(one[0])
            }
            # A series begins with the first value that events give it.
            seen |= values.keys() if events else set()
            found |= {
                (monitor, group, name, end): one for name, one in values.items() if name in seen
            }
    return found, apart


def _watching(event: Event) -> tuple[str, ...]:
    return ("file-models", "file-all") if event.name == "chat" else ("file-all",)


def _features(monitor: str, events: Sequence[Event]) -> dict[str, tuple[float, int]]:
    n = len(events)
    if monitor == "file-all":
        slow = sum(event.duration_ns > 2 * 10**9 for event in events)
        return {"rate": (n / 10, n), "errors": (slow / n if n else math.nan, n)}
    tokens = [number for event in events if (number := _number(event.tokens)) is not None]
    known = len(tokens)
    of_a = sum(event.model == "a" for event in events)
    return {
        "rate": (n / 30, n),
        "errors": (sum(event.failed for event in events) / n if n else math.nan, n),
        "p95_duration": (_quantile([e.duration_ns / 1e9 for e in events], 0.95), n),
        "p50_tokens": (_quantile(tokens, 0.5), known),
        "sum_tokens": (sum(tokens) * 2 if known or not n else math.nan, known),
        "mean_tokens": (sum(tokens) / known if known else math.nan, known),
        "of_a": (of_a / 30, of_a),
    }


def _number(value: float | str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _quantile(values: Sequence[float], share: float) -> float:
    if not values:
        return math.nan
    return float(np.quantile(np.array(values), share, method="inverted_cdf"))
