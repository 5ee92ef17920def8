"""The application's metrics: cumulative and delta counters and histograms."""

import random
from collections import Counter
from typing import NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

EDGES = (0.5, 1.0, 2.5, 5.0)
Key = tuple[str, ...]


class Phase(NamedTuple):
    """What goes on at a moment: nothing (rate 0), a burn, or a recovery from one."""

    who: str
    failed: bool
    rate: int


class Writer:
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
                describe(point, {"model": model, "status": status})
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
        describe(point, attributes)


def _buckets(rng: random.Random) -> list[int]:
    return [rng.randrange(5) for _ in EDGES[:3]] + [rng.randrange(2) for _ in EDGES[2:]]


def describe(what: Message, attributes: dict[str, str]) -> None:
    for key, value in attributes.items():
        what.attributes.add(key=key).value.string_value = value
