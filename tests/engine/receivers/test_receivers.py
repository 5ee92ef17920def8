import gzip
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from engine.receivers import ingest as ingest_module
from engine.receivers.otlp_http import gunzip
from engine.service import Service, ServiceConfig, ServiceError
from engine.sinks.board import Board
from engine.spool.spool import Spool
from engine.telemetry.metrics import EngineMetrics

MIB = 1 << 20
PROTOBUF = "application/x-protobuf"
TRACE_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRIC_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
LOG_METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


def traces(spans: int = 2, unended: int = 0, pad: int = 0) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n in range(spans + unended):
        span = scope.spans.add(name="chat" + "x" * pad, trace_id=os.urandom(16), span_id=b"1" * 8)
        span.start_time_unix_nano = 1
        span.end_time_unix_nano = 2 if n < spans else 0
    return request.SerializeToString()


def gauges(points: int = 3) -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    for n in range(points):
        metric.gauge.data_points.add(as_int=n, time_unix_nano=5)
    return request.SerializeToString()


def as_json(body: bytes) -> bytes:
    shown = MessageToDict(ExportTraceServiceRequest.FromString(body), use_integers_for_enums=True)
    for span in shown["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        span["traceId"], span["spanId"] = "ab" * 16, "cd" * 8
    return json.dumps(shown).encode()


@dataclass
class Running:
    service: Service
    spool: Spool
    metrics: EngineMetrics

    @property
    def http(self) -> str:
        return f"http://{self.service.addresses['otlp_http']}"

    @property
    def grpc(self) -> str:
        return self.service.addresses["otlp_grpc"]

    def stored(self) -> list[tuple[str, bytes]]:
        return [(s.signal, s.body) for s in self.spool.read(0, 1000, 1 << 30)]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def start(path: Path, max_bytes: int = 1 << 30, **changes: Any) -> Running:
    spool, metrics = Spool(path / "s.db", max_bytes), EngineMetrics()
    config = {"otlp_grpc": "127.0.0.1:0", "otlp_http": "127.0.0.1:0", "listen": None} | changes
    service = Service.start(ServiceConfig(Board([]), spool, metrics, **config))
    return Running(service, spool, metrics)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("spool"), max_payload=MIB)
    yield running
    running.service.stop()
    running.spool.close()


@pytest.fixture
def running(shared: Running) -> Running:
    """With an empty spool."""
    shared.spool.delete_through(shared.spool.last_id()).result(10)
    return shared


def post(
    url: str, body: bytes | None, content_type: str = PROTOBUF, method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    sent = {"Content-Type": content_type} | {n.replace("_", "-"): v for n, v in headers.items()}
    request = urllib.request.Request(url, body, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def call(
    address: str, method: str, body: bytes, compression: grpc.Compression | None = None
) -> bytes:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        send = channel.unary_unary(method)
        return bytes(send(body, timeout=20, compression=compression))


def details(error: grpc.RpcError) -> Status:
    found = dict(error.trailing_metadata())  # type: ignore[attr-defined]
    return Status.FromString(found["grpc-status-details-bin"])


# HTTP


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_http_protobuf(running: Running, encoding: str) -> None:
    for path, body, signal in (
        ("/v1/traces", traces(), "traces"),
        ("/v1/metrics", gauges(), "metrics"),
    ):
        sent = gzip.compress(body) if encoding == "gzip" else body
        before = running.counted("burnline_received_items_total", signal=signal, protocol="http")
        status, headers, answer = post(running.http + path, sent, Content_Encoding=encoding)
        # partial_success is left unset on full success.
        assert (status, headers["Content-Type"], answer) == (200, PROTOBUF, b"")
        assert running.stored()[-1] == (signal, body)
        after = running.counted("burnline_received_items_total", signal=signal, protocol="http")
        assert after - before == (2 if signal == "traces" else 3)


def test_http_json_is_stored_as_protobuf_and_answered_in_json(running: Running) -> None:
    status, headers, answer = post(
        f"{running.http}/v1/traces", as_json(traces()), "application/json; charset=utf-8"
    )
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/json")
    assert json.loads(answer) == {}
    [(signal, body)] = running.stored()
    assert signal == "traces"
    assert (
        len(ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans) == 2
    )


def test_partial_success_names_spans_without_an_end(running: Running) -> None:
    body = traces(spans=2, unended=3)
    _, _, answer = post(f"{running.http}/v1/traces", body)
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 3
    assert "end_time_unix_nano" in partial.error_message
    _, _, answer = post(f"{running.http}/v1/traces", as_json(body), "application/json")
    assert json.loads(answer)["partialSuccess"]["rejectedSpans"] == "3"
    answer = call(running.grpc, TRACE_METHOD, body)
    assert ExportTraceServiceResponse.FromString(answer).partial_success == partial
    assert len(running.stored()) == 3


@pytest.mark.parametrize(
    "body",
    [b"", traces(spans=0), traces(spans=0, unended=1)],
    ids=["nothing", "no spans", "no span that ended"],
)
def test_a_payload_without_anything_to_count_succeeds_and_is_not_stored(
    running: Running, body: bytes
) -> None:
    assert post(f"{running.http}/v1/traces", body)[0] == 200
    call(running.grpc, TRACE_METHOD, body)
    assert not running.stored()


@pytest.mark.parametrize(
    ("path", "body", "content_type", "encoding"),
    [
        ("/v1/traces", b"\xff\xff nonsense", PROTOBUF, "identity"),
        ("/v1/traces", traces()[:-3], PROTOBUF, "identity"),
        ("/v1/traces", traces().replace(b"chat", b"ch\xfft"), PROTOBUF, "identity"),
        ("/v1/metrics", b"\xff\xff nonsense", PROTOBUF, "identity"),
        ("/v1/traces", b"{", "application/json", "identity"),
        ("/v1/traces", b"\xff", "application/json", "identity"),
        ("/v1/traces", b'{"resourceSpans": 3}', "application/json", "identity"),
        ("/v1/metrics", b"[]", "application/json", "identity"),
        ("/v1/logs", b"\xff\xff nonsense", PROTOBUF, "identity"),
        ("/v1/logs", b'{"resourceLogs": 3}', "application/json", "identity"),
        ("/v1/logs", gzip.compress(b"x")[:-9], PROTOBUF, "gzip"),
        ("/v1/traces", traces(), PROTOBUF, "gzip"),
        ("/v1/traces", gzip.compress(traces())[:-9], PROTOBUF, "gzip"),
        ("/v1/traces", gzip.compress(traces()) + b"junk", PROTOBUF, "gzip"),
    ],
    ids=[  # the bodies have random ids in them
        "nonsense",
        "cut",
        "no text",
        "nonsense metrics",
        "cut json",
        "no json",
        "a number for a list",
        "a list for an object",
        "nonsense logs",
        "a number for a list of logs",
        "cut gzip of logs",
        "not compressed",
        "cut gzip",
        "gzip and junk",
    ],
)
def test_bad_data_is_refused_for_good(
    running: Running, path: str, body: bytes, content_type: str, encoding: str
) -> None:
    status, headers, answer = post(
        running.http + path, body, content_type, Content_Encoding=encoding
    )
    assert status == 400
    assert headers["Content-Type"].split(";")[0] == content_type
    assert "Retry-After" not in headers
    if content_type == PROTOBUF:
        told = Status.FromString(answer)
        bad = BadRequest()
        assert told.details[0].Unpack(bad)
        assert told.message == bad.field_violations[0].description
    else:
        assert "OTLP/JSON" in json.loads(answer)["message"]
    assert not running.stored()


def test_other_refusals(running: Running) -> None:
    url = f"{running.http}/v1/traces"
    assert post(url, traces(), "text/plain")[0] == 415
    assert post(url, traces(), Content_Encoding="br")[0] == 415
    status, headers, _ = post(url, None, method="GET")
    assert (status, headers["Allow"]) == (405, "POST")
    status, _, answer = post(f"{running.http}/v2/traces", b"")
    assert status == 404
    assert "/v1/logs; there is nothing at /v2/traces" in Status.FromString(answer).message
    assert not running.stored()


def test_too_large(running: Running) -> None:
    url = f"{running.http}/v1/traces"
    body = traces(1, pad=2 * MIB)
    assert post(url, body)[0] == 413
    assert post(url, gzip.compress(body), Content_Encoding="gzip")[0] == 413
    with pytest.raises(grpc.RpcError) as caught:
        call(running.grpc, TRACE_METHOD, body)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # A bomb: small on the wire, and refused before it has grown.
    for compression in (grpc.Compression.Gzip,):
        with pytest.raises(grpc.RpcError) as caught:
            call(running.grpc, TRACE_METHOD, traces(1, pad=50 * MIB), compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    almost = traces(1, pad=MIB - 200)
    assert post(url, almost)[0] == 200
    # Without a Content-Length, too.
    host, port = running.service.addresses["otlp_http"].split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-protobuf\r\n\r\n"
        )
        try:
            for _ in range(40):
                client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass  # it stopped listening, as it may
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    assert len(running.stored()) == 1


def test_gunzip_is_bounded_and_takes_several_members() -> None:
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"), 2) == b"ab"
    assert gunzip(b"", 2) == b""
    with pytest.raises(ingest_module.Refusal, match="beyond 99 bytes"):
        gunzip(gzip.compress(b"x" * 100), 99)
    assert len(gunzip(gzip.compress(bytes(5 * MIB)), 5 * MIB)) == 5 * MIB
    with pytest.raises(ingest_module.Refusal, match="damaged"):
        gunzip(zlib.compress(b"no gzip"), 100)


# gRPC


def test_grpc(running: Running) -> None:
    for method, body, signal in (
        (TRACE_METHOD, traces(), "traces"),
        (METRIC_METHOD, gauges(), "metrics"),
    ):
        assert call(running.grpc, method, body) == b""
        assert call(running.grpc, method, body, grpc.Compression.Gzip) == b""
        assert running.stored()[-2:] == [(signal, body)] * 2


@pytest.mark.parametrize("method", [TRACE_METHOD, METRIC_METHOD, LOG_METHOD])
def test_grpc_bad_data(running: Running, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(running.grpc, method, b"\xff\xff nonsense")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not details(caught.value).details, "nothing says that a retry helps"
    assert not running.stored()


def test_grpc_unknown_services(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(running.grpc, "/some.Service/Method", b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# Overload


def test_a_full_spool_asks_for_a_retry_and_recovers(tmp_path: Path) -> None:
    running = start(tmp_path, max_bytes=300)
    body = traces()
    try:
        while post(f"{running.http}/v1/traces", body)[0] == 200:
            assert len(running.stored()) < 10
        status, headers, answer = post(f"{running.http}/v1/traces", body)
        assert (status, headers["Retry-After"]) == (429, "2")
        assert "limit" in Status.FromString(answer).message
        with pytest.raises(grpc.RpcError) as caught:
            call(running.grpc, TRACE_METHOD, body)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = RetryInfo()
        assert details(caught.value).details[0].Unpack(retry)
        assert retry.retry_delay.seconds == 2
        refused = {"signal": "traces", "reason": "full"}
        name = "burnline_refused_payloads_total"
        assert running.counted(name, protocol="http", **refused) == 2
        assert running.counted(name, protocol="grpc", **refused) == 1
        running.spool.delete_through(running.spool.last_id()).result(10)
        assert post(f"{running.http}/v1/traces", body)[0] == 200
        assert call(running.grpc, TRACE_METHOD, body) == b""
        running.spool.close()
        status, headers, _ = post(f"{running.http}/v1/traces", body)
        assert (status, headers["Retry-After"]) == (503, "2")
        with pytest.raises(grpc.RpcError) as caught:
            call(running.grpc, TRACE_METHOD, body)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert details(caught.value).details[0].Unpack(retry)
    finally:
        running.service.stop()
        running.spool.close()


def test_memory_is_bounded_by_refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    checked = ingest_module._checked
    monkeypatch.setattr(
        ingest_module, "_checked", lambda *args: goes_on.wait(20) and checked(*args)
    )
    running = start(tmp_path, max_in_flight=1000)
    url = f"{running.http}/v1/traces"
    answers: list[int] = []
    # One alone always fits, even beyond the limit.
    first = threading.Thread(target=lambda: answers.append(post(url, traces(1, pad=2000))[0]))
    first.start()
    try:
        while not running.counted("burnline_in_flight_bytes"):
            pass
        status, headers, _ = post(url, traces())
        assert (status, headers["Retry-After"]) == (429, "1")
        with pytest.raises(grpc.RpcError) as caught:
            call(running.grpc, TRACE_METHOD, traces())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        goes_on.set()
        first.join()
        assert answers == [200]
        assert running.counted("burnline_in_flight_bytes") == 0
        assert post(url, traces())[0] == 200
    finally:
        goes_on.set()
        running.service.stop()
        running.spool.close()


# The official SDK


@pytest.mark.parametrize("protocol", ["grpc", "http", "http-gzip"])
def test_the_official_exporters(running: Running, protocol: str) -> None:
    if protocol == "grpc":
        spans: Any = GrpcSpanExporter(endpoint=running.grpc, insecure=True)
        points: Any = GrpcMetricExporter(endpoint=running.grpc, insecure=True)
    else:
        packed = Compression.Gzip if protocol == "http-gzip" else Compression.NoCompression
        spans = HttpSpanExporter(endpoint=f"{running.http}/v1/traces", compression=packed)
        points = HttpMetricExporter(endpoint=f"{running.http}/v1/metrics", compression=packed)
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    with tracing.get_tracer("t").start_as_current_span("chat") as span:
        span.set_attribute("gen_ai.request.model", "m1")
    tracing.shutdown()
    meters = MeterProvider([PeriodicExportingMetricReader(points, 60_000)])
    meters.get_meter("m").create_counter("llm.requests").add(3)
    meters.shutdown()
    stored = running.stored()
    assert [signal for signal, _ in stored][:2] == ["traces", "metrics"]
    sent = ExportTraceServiceRequest.FromString(stored[0][1])
    assert sent.resource_spans[0].scope_spans[0].spans[0].name == "chat"
    metrics = ExportMetricsServiceRequest.FromString(stored[1][1])
    found = metrics.resource_metrics[0].scope_metrics[0].metrics[0]
    assert (found.name, found.sum.data_points[0].as_int) == ("llm.requests", 3)


# The service


def test_a_taken_port_says_what_to_do(shared: Running, tmp_path: Path) -> None:
    for option, field in (("--otlp-grpc", "otlp_grpc"), ("--otlp-http", "otlp_http")):
        address = shared.service.addresses[field]
        port = address.rpartition(":")[2]
        with pytest.raises(
            ServiceError, match=rf"port {port} of .* is taken: .* {option} HOST:PORT"
        ):
            start(tmp_path, **{field: address})
    for wrong in ("4317", ":4317", "localhost:", "localhost:x", "localhost:99999"):
        with pytest.raises(ServiceError, match="write HOST:PORT"):
            start(tmp_path, otlp_grpc=wrong)
    with pytest.raises(ServiceError, match="pass --otlp-http"):
        start(tmp_path, otlp_http="192.0.2.1:0")


def test_stopping_finishes_what_is_at_hand(tmp_path: Path) -> None:
    running = start(tmp_path)
    answers: list[int] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            try:
                answers.append(post(f"{running.http}/v1/traces", traces())[0])
            except OSError:
                return

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(answers) < 20:
        time.sleep(0.001)  # without it the engine's loop, in this process, may starve
    running.service.stop()
    running.service.stop()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    assert len(running.stored()) >= len(answers)
    running.spool.close()
