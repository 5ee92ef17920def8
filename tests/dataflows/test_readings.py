"""What is watched, through the whole flow: over a recording, and in a live engine that the SDK sends to."""

import math
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from dataflows import flow, live
from dataflows.backtest import run
from dataflows.settings import Settings
from engine.recordings.files import Recorded
from slo import load
from slo.anomalies import _fields, gathering
from slo.anomalies.messages import Readings
from slo.loading import default_monitors
from tests.dataflows.readings import ReadingsSink
from tests.dataflows.recorded import LATE, NS, SLOS, START, calls, traces
from tests.servers import eventually


def test_a_recording_has_the_readings_of_its_calls() -> None:
    """With the defaults; the calls that come five minutes late are too late, and counted."""
    found: list[Readings] = []
    recorded = []
    sent = sorted({call.sent for call in calls()})
    for clock, request in zip(sent, traces(), strict=True):
        recorded.append(Recorded("traces", request.SerializeToString(), clock * NS, "made"))
    report = run(
        load({"slos": SLOS}).objectives, recorded, default_monitors(), ReadingsSink(found.append)
    )
    first = math.ceil(START / 60 + 1 / 3) * 60
    count: Counter[tuple[str, int]] = Counter()
    failed: Counter[tuple[str, int]] = Counter()
    durations: dict[tuple[str, int], list[float]] = defaultdict(list)
    late = 0
    for call in calls():
        end = (call.end // 60 + 1) * 60
        if call.sent - call.end >= LATE:
            late += 1
        elif end > first:
            count[call.model, end] += 1
            failed[call.model, end] += call.failed
            durations[call.model, end].append(call.duration_ns / NS)
    assert report.unjudged["late"] == late
    told = {
        (key.entity.group, key.feature, int(one.at)): value
        for one in found
        for key, value in zip(one.keys, one.values.tolist(), strict=True)
    }
    assert {feature for _, feature, _ in told} == {"rate", "errors", "p95_duration"}
    assert {group for group, _, _ in told} == {("", "m1"), ("", "m2")}
    ends = sorted({end for _, _, end in told})
    assert ends == list(range(ends[0], ends[-1] + 1, 60))
    assert len(ends) > 80
    for (_, model), feature, end in told:
        value = told[("", model), feature, end]
        if feature == "rate":
            assert value == count[model, end] / 60
        elif feature == "errors":
            assert value == failed[model, end] / count[model, end]
        else:
            times = sorted(durations[model, end])
            exact = times[math.ceil(0.95 * len(times)) - 1]
            assert value == pytest.approx(exact, rel=0.011)


WATCHED = """\
apiVersion: burnline/v1
service: chat
anomalies:
  - name: fast
    spans: '{ kind = server }'
    by: [resource.service.name]
    every: 2s
    watch: [rate, errors, {quantile: 90, of: duration}]
  - name: queue
    by: [service_name]
    every: 2s
    watch: [{metric: jobs_waiting}]
"""


def _engine(folder: Path) -> live.Engine:
    free = "127.0.0.1:0"
    return live.Engine(
        Settings(
            (folder / "slos.yaml",),
            folder / "data",
            otlp_grpc=free,
            otlp_http=free,
            http=free,
            snapshot_seconds=1.0,
        )
    )


class _Sender:
    """An application with the official SDK; a request every 50 ms, every fourth of which fails."""

    def __init__(self, url: str) -> None:
        resource = Resource({"service.name": "web"})
        self.provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(f"{url}/v1/traces", timeout=5)
        self.provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("tests")
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{url}/v1/metrics", timeout=1), export_interval_millis=1000
        )
        self.meters = MeterProvider([reader], resource=resource)
        self.meters.get_meter("tests").create_gauge("jobs.waiting").set(7)
        self.sent: list[float] = []

    def send(self, seconds: float) -> None:
        until = time.time() + seconds
        while time.time() < until:
            now = time.time()
            span = self.tracer.start_span(
                "GET", kind=SpanKind.SERVER, start_time=int((now - 0.2) * 1e9)
            )
            if len(self.sent) % 4 == 0:
                span.set_status(Status(StatusCode.ERROR))
            span.end(int(now * 1e9))
            self.sent.append(now)
            time.sleep(0.05)

    def close(self) -> None:
        self.provider.shutdown()
        self.meters.shutdown()


@pytest.mark.timeout(300)
def test_a_live_engine_reads_what_the_sdk_sends_over_reload_and_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts by the time at which each span ended; the engine restarts and reloads in between."""
    found: dict[int, Readings] = {}

    def take(readings: Readings) -> None:
        if readings.keys:
            found[int(readings.at)] = readings

    for module, name, seconds in (
        (_fields, "SHORTEST_INTERVAL", 1),
        (gathering, "GRACE", 2),
        (gathering, "HOLD", 3),
    ):
        monkeypatch.setattr(module, name, seconds)  # or it would take a minute
    monkeypatch.setattr(live, "build", partial(flow.build, readings=ReadingsSink(take)))
    (tmp_path / "slos.yaml").write_text(WATCHED)
    engine = _engine(tmp_path)
    engine.start()
    sender = _Sender(engine.addresses.otlp_http)
    try:
        sender.send(4)
        (tmp_path / "slos.yaml").write_text(WATCHED + "    false_alarms: 1/day\n")
        engine.reloader.request("the test")
        sender.send(3)
        restarts = engine.metrics.flow_restarts.labels("reload")
        eventually(lambda: restarts._value.get() == 1, 60)
        engine.stop()
        engine = _engine(tmp_path)
        engine.start()
        last = int(sender.sent[-1]) // 2 * 2 + 2
        eventually(lambda: last in found, 90)
    finally:
        sender.close()
        engine.stop()
    ends = [end for end in sorted(found) if end <= last]
    assert len(ends) >= 3
    assert ends == list(range(ends[0], last + 1, 2))
    for end in ends:
        numbered = list(enumerate(sender.sent))
        ended = [n for n, t in numbered if end - 2 <= t < end]
        failed = [n for n in ended if n % 4 == 0]
        told = {k.feature: v for k, v in zip(found[end].keys, found[end].values, strict=True)}
        assert told["rate"] == pytest.approx(len(ended) / 2)
        if ended:
            assert told["errors"] == pytest.approx(len(failed) / len(ended))
            assert told["p90_duration"] == pytest.approx(0.2, rel=0.02)
            assert found[end].trace_ids
        assert not found[end].frozen
    assert {k.entity.service for k in found[ends[0]].keys} == {"web"}
    assert 7.0 in [
        value
        for one in found.values()
        for key, value in zip(one.keys, one.values.tolist(), strict=True)
        if key.feature == "jobs_waiting"
    ]


def test_nothing_is_watched_where_anomalies_are_off(tmp_path: Path) -> None:
    (tmp_path / "slos.yaml").write_text(SLOS)
    engine = live.Engine(Settings((tmp_path / "slos.yaml",), tmp_path / "data", anomalies="off"))
    assert engine.plan.monitors == ()
    on = live.Engine(Settings((tmp_path / "slos.yaml",), tmp_path / "data"))
    assert on.plan.monitors == default_monitors()
