"""What the flow's watch makes of what it is told."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from engine.columns.measure import Measured
from engine.spool.arrivals import Arrivals
from engine.telemetry import tracing
from engine.telemetry.log import configure
from engine.telemetry.metrics import EngineMetrics
from engine.telemetry.watch import LiveWatch
from slo.decision import Decision
from tests.engine.sinks.boards import decision
from tests.otlp_server import Server, otlp_server

SECOND = 10**9


@pytest.fixture
def metrics() -> EngineMetrics:
    return EngineMetrics()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with otlp_server() as found:
        tracing.start(found.url, 1, (), lambda *_: None)
        yield found
        tracing.stop()


def _decision(clock: float, watermark: float | None = None, **changes: object) -> Decision:
    found = decision({}, clock=clock, **changes)
    return replace(found, watermarks=(0.0, clock if watermark is None else watermark))


def _value(metrics: EngineMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_only_decisions_that_live_data_caused_are_timed(metrics: EngineMetrics) -> None:
    watch, now = LiveWatch(metrics), time.time()

    def publish(*decisions: Decision) -> None:
        watch.published(decisions, time.perf_counter_ns())

    publish(_decision(now, watermark=now - 1))  # the clock alone
    publish(_decision(now, live=False))  # a replay
    publish()
    assert _value(metrics, "burnline_decision_seconds_count") == 0
    # Two shards of the same arrivals, and arrivals of another moment.
    publish(_decision(now - 3), _decision(now - 3, shard="1"), _decision(now - 1))
    assert _value(metrics, "burnline_decision_seconds_count") == 2
    assert 4 <= (_value(metrics, "burnline_decision_seconds_sum") or 0) < 30


def test_what_was_measured_is_counted(metrics: EngineMetrics) -> None:
    watch = LiveWatch(metrics)
    found = Measured(clock_ns=100 * SECOND, spans=5, points=7, skewed=2)
    found.place("traces", 94, 3)
    found.place("traces", 95, 1)  # its bucket closes at 100
    found.place("traces", 100, 1)  # its is open
    watch.measured(found)
    watch.measured(Measured(clock_ns=101 * SECOND))
    assert _value(metrics, "burnline_measured_items_total", signal="traces") == 5
    assert _value(metrics, "burnline_measured_items_total", signal="metrics") == 7
    assert _value(metrics, "burnline_events_skewed_total") == 2
    assert _value(metrics, "burnline_events_late_total", signal="traces", age="30s") == 4


def test_a_snapshot_is_the_sum_of_its_steps(metrics: EngineMetrics) -> None:
    watch = LiveWatch(metrics)
    for size in (10, 30):
        for owner in (1, 2, 3):
            watch.saved("intake", owner, time.perf_counter_ns(), size)
    # The first is whole once the second has begun.
    assert _value(metrics, "burnline_snapshot_bytes") == 30
    assert _value(metrics, "burnline_snapshot_seconds_count") == 1
    watch.saved("window_2h", 4, time.perf_counter_ns(), 5)
    watch.saved("intake", 1, time.perf_counter_ns(), 1)
    assert _value(metrics, "burnline_snapshot_bytes") == 95
    assert _value(metrics, "burnline_snapshot_step_bytes_total", step="intake") == 121
    assert (_value(metrics, "burnline_snapshot_timestamp_seconds") or 0) > time.time() - 60


def test_slow_snapshots_are_said_once_per_change(metrics: EngineMetrics) -> None:
    out = io.StringIO()
    configure(out)
    try:
        watch = LiveWatch(metrics)
        for seconds in (0, 2, 2, 0.7, 0, 0):
            watch.saved("intake", 1, time.perf_counter_ns() - int(seconds * SECOND), 1)
        watch.saved("intake", 1, time.perf_counter_ns(), 1)
    finally:
        structlog.reset_defaults()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["level"] for line in lines] == ["warning", "info"]


def test_a_batch_is_traced_from_stage_to_stage(metrics: EngineMetrics, server: Server) -> None:
    watch = LiveWatch(metrics)

    def stage(name: str, clock: float) -> None:
        watch.spent(name, clock, time.perf_counter_ns() - 1000)

    def arrive(clock: float, **changes: object) -> None:
        watch.arrived(Arrivals(clock=clock, **changes), time.perf_counter_ns())

    arrive(9, traces=(b"x",), live=False)  # a replay has no trace
    arrive(10, traces=(b"xx", b"y"), metrics=(b"z",))
    watch.measured(Measured(10, spans=4, points=1))
    stage("measure", 10)
    arrive(11, traces=(b"xx",))  # read ahead: one batch at a time
    watch.measured(Measured(11, spans=99))
    stage("measure", 11)
    stage("intake", 11)  # both together
    watch.published([_decision(9)], time.perf_counter_ns())
    arrive(12, tick=True)
    assert not server.spans
    stage("decide", 11)
    watch.published([_decision(11)], time.perf_counter_ns())
    arrive(13, tick=True)
    tracing.stop()
    (flow,) = server.named("flow")
    assert server.below(flow) == ["decide", "intake", "measure", "publish"]
    counts = {"payloads": 3, "bytes": 4, "spans": 4, "points": 1}
    assert {name: flow.attributes[f"burnline.{name}"] for name in counts} == counts
    (measure,) = server.named("measure")
    assert measure.attributes["burnline.busy_seconds"] < 0.5
