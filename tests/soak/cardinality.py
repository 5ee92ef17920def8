"""A million values of one attribute against a real engine over HTTP: memory, speed, and what was counted.

    python -m tests.soak.cardinality [--values 1000000] [--metrics]

Prints a line each tenth of the way, and fails where a count is wrong or series are not bounded.
"""

import argparse
import re
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.engines import Engine
from tests.servers import eventually

SLOS = """\
apiVersion: burnline/v1
service: s
slos:
  - name: spans
    objective: 99
    sli: {spans: {total: '{ span.gen_ai.operation.name = "chat" }', bad: '{ status = error }'}}
    by: [span.tenant.id]
  - name: counters
    objective: 99
    sli: {metrics: {total: 'calls_total', bad: 'calls_total{ok="no"}'}}
    by: [tenant_id]
"""
SPANS = 1_000
DIGITS = 9
TENANT = "tenant-%09d"
STEPS = 10


def traces() -> bytes:
    """A request whose tenants are numbered from 0."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    now = time.time_ns()
    for n in range(SPANS):
        span = spans.add(trace_id=bytes([n % 256]) * 16, end_time_unix_nano=now)
        if n % 50 == 0:
            span.status.code = Status.STATUS_CODE_ERROR
        for key, value in (
            ("tenant.id", TENANT % n),
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.request.model", f"m{n % 4}"),
        ):
            span.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def metrics() -> bytes:
    """Likewise."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="calls")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    now = time.time_ns()
    for n in range(SPANS):
        point = metric.sum.data_points.add(
            start_time_unix_nano=now - 10**9, time_unix_nano=now, as_int=1
        )
        point.attributes.add(key="tenant.id").value.string_value = TENANT % n
    return request.SerializeToString()


class Numbered:
    """A request again and again, each time of other tenants; making it anew would cost more."""

    def __init__(self, body: bytes) -> None:
        self._bytes = np.frombuffer(bytearray(body), np.uint8)
        starts = [match.start() for match in re.finditer(rb"tenant-\d{9}", body)]
        assert len(starts) == SPANS
        self._digits = np.array(starts)[:, None] + np.arange(
            len(TENANT % 0) - DIGITS, len(TENANT % 0)
        )

    def from_(self, first: int) -> bytes:
        numbers = np.arange(first, first + SPANS)[:, None] // 10 ** np.arange(DIGITS - 1, -1, -1)
        self._bytes[self._digits] = numbers % 10 + ord("0")
        return self._bytes.tobytes()


def send(engine: Engine, path: str, body: bytes) -> None:
    url = f"http://127.0.0.1:{engine.ports['http']}/v1/{path}"
    headers = {"Content-Type": "application/x-protobuf"}
    while True:
        try:
            request = urllib.request.Request(url, body, headers)
            with urllib.request.urlopen(request, timeout=30):
                return
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise
            time.sleep(0.2)


def of_process(pid: int) -> tuple[float, float]:
    """Resident MB and processor seconds so far."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return resident, (int(fields[11]) + int(fields[12])) / 100


def samples(engine: Engine) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(engine.get("/metrics")):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def counted(engine: Engine, slo: str) -> float:
    return sum(
        value
        for name, labels, value in samples(engine)
        if name == "burnline_slo_events_total" and labels["sloth_slo"] == slo
    )


def one(engine: Engine, name: str, slo: str) -> float:
    return next(v for n, ls, v in samples(engine) if n == name and ls["sloth_slo"] == slo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--metrics", action="store_true")
    arguments = parser.parse_args()
    path, slo, body = (
        ("metrics", "counters", metrics()) if arguments.metrics else ("traces", "spans", traces())
    )
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder), SLOS)
        engine.start()
        try:
            run(engine, arguments.values, path, slo, Numbered(body))
        finally:
            engine.stop(signal.SIGKILL)
        for line in engine.logged():
            if "limit of series" in line["event"]:
                click.echo(line)


def run(engine: Engine, values: int, path: str, slo: str, request: Numbered) -> None:
    pid = engine.process.pid
    tenth = values // STEPS
    resident, processor = of_process(pid)
    click.echo(f"{'values':>10} {'series':>7} {'counted':>10} {'RSS MB':>7} {'CPU us each':>12}")
    for first in range(0, values, SPANS):
        send(engine, path, request.from_(first))
        done = first + SPANS
        if done % tenth == 0:
            eventually(lambda done=done: counted(engine, slo) == done, 600)
            resident, used = of_process(pid)
            series = one(engine, "burnline_slo_series", slo)
            each = (used - processor) / tenth * 1e6
            click.echo(f"{done:10,d} {series:7.0f} {done:10,d} {resident:7.0f} {each:12.1f}")
            processor = used
    assert one(engine, "burnline_slo_series", slo) <= one(engine, "burnline_slo_series_limit", slo)
    assert one(engine, "burnline_slo_overflowing", slo) == 1
    shared = [
        labels
        for name, labels, _ in samples(engine)
        if name == "burnline_slo_error_budget_remaining_ratio"
        and labels["sloth_slo"] == slo
        and labels["tenant_id"] == "otel.metric.overflow"
    ]
    assert len(shared) == 1, shared
    for name, labels, value in samples(engine):
        if name.startswith(("burnline_metric_", "burnline_source_")):
            click.echo(f"{name} {labels} {value:g}")


if __name__ == "__main__":
    main()
