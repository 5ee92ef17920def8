"""`make soak-overload` and `make soak-disk` in short, and what official exporters make of a full spool."""

import http.client
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from tests.end_to_end.engines import Engine
from tests.servers import eventually
from tests.soak import disk, overload
from tests.soak.flood import body

pytestmark = pytest.mark.timeout(600)


def test_twice_what_it_can_take_is_refused_within_bounds_and_nothing_acknowledged_is_lost(tmp_path):
    report = overload.run(tmp_path, seconds=20.0)
    assert not report.faults, report.text()


def test_the_official_exporters_wait_out_a_full_spool(tmp_path, caplog):
    """With their defaults: a batch has ten seconds. Snapshots of 1 s free what they passed after 4 s."""
    engine = Engine(tmp_path, overload.SLOS, BURNLINE_SPOOL_SIZE="2MiB")
    engine.start()
    try:
        exporters = (
            Http(endpoint=f"http://127.0.0.1:{engine.ports['http']}/v1/traces"),
            Grpc(endpoint=f"http://127.0.0.1:{engine.ports['grpc']}", insecure=True),
        )
        spans = _spans(2000)
        filled = _fill(engine)
        with ThreadPoolExecutor() as pool:
            results = list(pool.map(lambda exporter: exporter.export(spans), exporters))
        assert results == [SpanExportResult.SUCCESS] * 2
        assert caplog.text.count("retrying in 2.00s") >= 2
        eventually(lambda: sum(engine.counts().values()) == filled + 2 * 2000, 20)
    finally:
        engine.stop(signal.SIGKILL)


def _fill(engine: Engine) -> int:
    """Send until it is full; the number of spans that were taken."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.ports["http"], timeout=30)
    payload, taken = body("filler", 1), 0
    while True:
        headers = {"Content-Type": "application/x-protobuf"}
        connection.request("POST", "/v1/traces", payload, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
            return taken
        taken += 500


def _spans(number: int) -> list[ReadableSpan]:
    tracer = TracerProvider().get_tracer("tests")
    spans = []
    for _ in range(number):
        span = tracer.start_span("chat", attributes={"tenant.id": "sdk"})
        span.end()
        spans.append(span)
    return spans


@pytest.mark.skipif(
    not disk.possible(), reason="needs root and the tools to make, mount and protect a disk"
)
@pytest.mark.parametrize(("where", "fault"), [("data", "full"), ("recovery", "read-only")])
def test_a_failing_disk_is_waited_out_and_nothing_acknowledged_is_lost(tmp_path, where, fault):
    report = disk.run(tmp_path, fault, where, seconds=5.0)
    assert not report.faults, report.text()
