"""Stop and start at any moment, under either runner: every count is that of a run without."""

import random
import signal
import sys
import time
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import eventually

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99
    sli:
      spans:
        total: '{ span.gen_ai.operation.name = "chat" }'
        bad: '{ status = error }'
    by: [span.gen_ai.request.model, span.tenant.id]
  - name: requests
    objective: 99
    sli:
      metrics:
        total: 'llm_requests_total'
        bad: 'llm_requests_total{status="error"}'
"""
MODELS, TENANTS = ("gpt-4o", "o3", "claude-sonnet-4-5"), ("acme", "zen")

pytestmark = pytest.mark.timeout(240)


def _calls(rng: random.Random, number: int) -> list[Call]:
    now = time.time()
    return [
        Call(
            now - rng.choice((0, 0, 0, 3, 70, 4000, 90_000)),
            rng.choice(MODELS),
            rng.choice(TENANTS),
            failed=rng.random() < 0.1,
        )
        for _ in range(number)
    ]


def _count(counts: dict, calls: list[Call]) -> None:
    for call in calls:
        key = ("availability", "bad" if call.failed else "good", call.model, call.tenant)
        counts[key] = counts.get(key, 0) + 1


def _settled(engine: Engine, expected: dict) -> None:
    """The counts are there, and a moment later still the same: neither lost nor counted twice."""

    def counts() -> dict:
        found = engine.counts()
        return {key: value for key, value in found.items() if value and key[0] == "availability"}

    eventually(lambda: counts() == expected, 20)
    time.sleep(0.3)
    assert counts() == expected


def test_killed_at_random_moments_nothing_is_lost_or_counted_twice(tmp_path):
    rng = random.Random(7)
    engine = Engine(tmp_path, SLOS)
    expected: dict = {}
    engine.start()
    try:
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            for protocol in ("grpc", "http"):
                calls = _calls(rng, 200)
                send(engine, calls, protocol=protocol)
                _count(expected, calls)
            time.sleep(rng.random() * 1.5)
            engine.stop(number)
            engine.start()
        _settled(engine, expected)
    finally:
        engine.stop(signal.SIGKILL)


def test_bytewax_runner_with_other_numbers_of_workers(tmp_path):
    recovery = tmp_path / "recovery"
    recovery.mkdir()
    init_db_dir(recovery, 4)
    engine = Engine(tmp_path, SLOS)
    expected: dict = {}
    rng = random.Random(8)

    def start(workers: int) -> None:
        command = (sys.executable, "-m", "bytewax.run", "dataflows.live", "-w", str(workers))
        engine.start(*command, "-r", str(recovery), "-s", "1", "-b", "0")

    try:
        for workers in (2, 1, 2):
            start(workers)
            calls = _calls(rng, 300)
            send(engine, calls)
            _count(expected, calls)
            _settled(engine, expected)
            engine.stop(signal.SIGKILL)
    finally:
        engine.stop(signal.SIGKILL)


def test_counters_of_the_sdk_count_once_over_restarts(tmp_path):
    engine = Engine(tmp_path, SLOS)
    engine.start()
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"http://127.0.0.1:{engine.ports['http']}/v1/metrics"),
        export_interval_millis=3_600_000,
    )
    meter = MeterProvider([reader], resource=Resource({"service.name": "chat-api"}))
    requests = meter.get_meter("tests").create_counter("llm.requests")
    try:
        good = bad = 0
        for round_ in range(4):
            requests.add(50, {"status": "ok"})
            requests.add(3, {"status": "error"})
            good, bad = good + 50, bad + 3
            assert meter.force_flush()
            if round_ == 1:
                engine.stop(signal.SIGKILL)
                engine.start()
        found = eventually(lambda: (c := engine.counts()).get(("requests", "bad")) == bad and c, 20)
        assert found["requests", "good"] == good
    finally:
        meter.shutdown()
        engine.stop(signal.SIGKILL)


def test_a_second_engine_on_the_same_data_is_refused(tmp_path):
    engine = Engine(tmp_path, SLOS)
    engine.start()
    try:
        other = Engine(tmp_path, SLOS)
        other.log = tmp_path / "other.log"
        with pytest.raises(AssertionError, match="another engine uses the data directory"):
            other.start()
        assert other.process.returncode == 1
        assert "Traceback" not in Path(other.log).read_text()
    finally:
        engine.stop(signal.SIGKILL)
