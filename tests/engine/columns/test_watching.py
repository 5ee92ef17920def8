"""Metrics that are watched: what the SDK exports, as readings, beside what was recorded."""

from collections.abc import Iterator

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource

from engine.spool.arrivals import Arrivals
from slo.anomalies.sketch import RELATIVE_ERROR
from tests.strategies.watched import METRICS, Gathered, rows

NS = 1_000_000_000
START = 1_700_000_040 // 60 * 60


class App:
    """An instrumented application whose exports are moved to the test's time.

    Args:
        aggregation: of its histogram.
        delta: export differences.
    """

    def __init__(self, aggregation: object, *, delta: bool) -> None:
        kinds = (Counter, Histogram) if delta else ()
        self.reader = InMemoryMetricReader(
            preferred_temporality=dict.fromkeys(kinds, AggregationTemporality.DELTA)
        )
        self.provider = MeterProvider(
            [self.reader],
            resource=Resource({"service.name": "chat"}),
            views=[View(instrument_name="llm.duration", aggregation=aggregation)],
            shutdown_on_exit=False,
        )
        meter = self.provider.get_meter("tests")
        self.requests = meter.create_counter("llm.requests")
        self.cost = meter.create_counter("llm.cost")
        self.queue = meter.create_gauge("queue.depth")
        self.flight = meter.create_up_down_counter("in.flight")
        self.duration = meter.create_histogram("llm.duration")
        self.delta = delta
        self.before = START

    def export(self, time: float) -> bytes:
        data = self.reader.get_metrics_data()
        request = encode_metrics(data) if data else ExportMetricsServiceRequest()
        for resource in request.resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    falls = metric.name in ("in.flight", "queue.depth")
                    began = self.before if self.delta and not falls else START
                    point.start_time_unix_nano = int(began * NS)
                    point.time_unix_nano = int(time * NS)
        self.before = time
        return request.SerializeToString()


AGGREGATIONS = {
    "explicit": ExplicitBucketHistogramAggregation([0.1 * 1.1**n for n in range(60)]),
    "exponential": ExponentialBucketHistogramAggregation(max_size=160),
}


@pytest.fixture(params=[(name, delta) for name in AGGREGATIONS for delta in (False, True)], ids=str)
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    name, delta = request.param
    made = App(AGGREGATIONS[name], delta=delta)
    yield made
    made.provider.shutdown()


class Clocked(Gathered):
    """With ticks between arrivals."""

    now = START

    def arrive(self, clock: int, *bodies: bytes) -> None:
        for tick in range(self.now, clock, 10):
            self.take(Arrivals(tick, tick=True, watermarks=(0.0, tick)))
        self.take(Arrivals(clock, metrics=bodies, tick=True, watermarks=(0.0, clock)))
        self.now = clock


def test_readings_are_what_was_recorded(app: App) -> None:
    """An export a minute, 20 s past it, as SDKs that start at any time send them."""
    gathered = Clocked(METRICS)
    gathered.arrive(START, app.export(START))
    rng = np.random.default_rng(7)
    expected = {}
    for minute in range(1, 9):
        for model in ("a", "b"):
            requests, cost = int(rng.integers(0, 50)), float(rng.random() / 100)
            durations = rng.lognormal(1.0, 0.5, int(rng.integers(5, 40)))
            depth, flight = int(rng.integers(0, 9)), int(rng.integers(-3, 4))
            at = {"model": model}
            app.requests.add(requests, at)
            app.cost.add(cost, at)
            app.queue.set(depth, at)
            app.flight.add(flight, at)
            for duration in durations:
                app.duration.record(float(duration), at)
            end = START + 60 * minute + 60
            seconds = 60 if minute > 1 else 80
            expected[model, "llm_requests_total", end] = requests * 60 / seconds
            expected[model, "cost", end] = cost * 60 / seconds
            expected[model, "queue_depth", end] = depth
            before = expected.get((model, "in_flight", end - 60), 0)
            expected[model, "in_flight", end] = before + flight
            expected[model, "p90_llm_duration", end] = float(
                np.quantile(durations, 0.9, method="inverted_cdf")
            )
            expected[model, "observed", end] = len(durations) / seconds
        time = START + 60 * minute + 20
        gathered.arrive(time, app.export(time))
        gathered.arrive(time + 30)
    found = {
        (group[1], feature, end): value
        for (_, group, feature, end), (value, _) in rows(gathered.readings).items()
    }
    assert {key.entity.service for r in gathered.readings for key in r.keys} == {"chat"}
    closed = max(end for *_, end in found)
    expected = {row: value for row, value in expected.items() if row[-1] <= closed}
    assert found.keys() == expected.keys()
    for row, value in expected.items():
        # An explicit bucket is 10 % wide.
        tolerance = 0.1 + 3 * RELATIVE_ERROR if row[1].startswith("p90") else 1e-3
        assert found[row] == pytest.approx(value, rel=tolerance, abs=1e-6), row


def test_what_is_sent_twice_counts_once_and_a_restart_from_zero(app: App) -> None:
    gathered = Clocked(METRICS)
    gathered.arrive(START, app.export(START))
    app.requests.add(60, {"model": "a"})
    body = app.export(START + 70)
    for clock in (START + 70, START + 71, START + 72):
        gathered.arrive(clock, body)
    again = App(AGGREGATIONS["explicit"], delta=app.delta)
    again.requests.add(30, {"model": "a"})
    again.before = START + 70
    body = again.export(START + 130)
    if not app.delta:  # a new process counts from its own start
        request = ExportMetricsServiceRequest.FromString(body)
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                point.start_time_unix_nano = (START + 70) * NS
        body = request.SerializeToString()
    gathered.arrive(START + 130, body)
    gathered.arrive(START + 160)
    gathered.arrive(START + 210)
    again.provider.shutdown()
    found = {
        (feature, end - START): value
        for (_, _, feature, end), (value, _) in rows(gathered.readings).items()
    }
    assert found["llm_requests_total", 120] == pytest.approx(60 * 60 / 70)
    assert found["llm_requests_total", 180] == pytest.approx(30)


def test_what_cannot_be_read_is_counted_with_its_reason() -> None:
    gathered = Clocked(METRICS)
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="llm_duration").gauge.data_points.add(as_int=1, time_unix_nano=START * NS)
    summary = metrics.add(name="queue_depth").summary.data_points.add(time_unix_nano=START * NS)
    summary.count = 1
    gauge = metrics.add(name="in_flight").gauge
    gauge.data_points.add(as_double=float("nan"), time_unix_nano=START * NS)
    gauge.data_points.add(as_int=1, time_unix_nano=(START + 10_000) * NS)
    gauge.data_points.add(as_int=1)
    histogram = metrics.add(name="llm_requests_total").histogram
    histogram.aggregation_temporality = 2
    histogram.data_points.add(count=1, time_unix_nano=START * NS)
    gathered.arrive(START, request.SerializeToString())
    assert dict(gathered.unjudged) == {
        "a number where a histogram is wanted": 1,
        "a summary, which has no buckets": 1,
        "not a finite number": 1,
        "future": 1,
        "no time": 1,
        "a histogram where a counter is wanted; its _count is one": 1,
    }
