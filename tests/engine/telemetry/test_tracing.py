"""Traces of the engine's own work, as a real OTLP receiver gets them."""

import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import structlog

from engine.telemetry import tracing
from engine.telemetry._trace_export import is_own
from engine.telemetry.log import configure
from tests.engine.receivers.test_receivers import (
    PROTOBUF,
    TRACE_METHOD,
    Running,
    gauges,
    start,
    traces,
)
from tests.otlp_server import Server, otlp_server
from tests.servers import eventually

SAMPLED = "00-{:032x}-00000000000000ab-01"
UNSAMPLED = "00-{:032x}-00000000000000ab-00"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with otlp_server() as found:
        yield found
        tracing.stop()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = start(tmp_path)
    yield found
    found.service.stop()
    found.spool.close()


def _start(server: Server, ratio: float = 1.0) -> dict[str, int]:
    counted: dict[str, int] = {}

    def count(outcome: str, spans: int) -> None:
        counted[outcome] = counted.get(outcome, 0) + spans

    tracing.start(server.url, ratio, (), count)
    return counted


def _post(running: Running, body: bytes, path: str = "/v1/traces", **headers: str) -> int:
    request = urllib.request.Request(
        running.http + path, body, {"Content-Type": PROTOBUF, **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_payload_is_received_checked_and_stored(server: Server, running: Running) -> None:
    counted = _start(server)
    body = traces(3)
    state = {"traceparent": SAMPLED.format(7), "tracestate": "vendor=hunter2"}
    assert _post(running, body, **state) == 200
    with grpc.insecure_channel(running.grpc) as channel:
        channel.unary_unary(TRACE_METHOD)(
            traces(2), metadata=(("traceparent", SAMPLED.format(9)),), timeout=10
        )
    assert _post(running, gauges(), "/v1/metrics") == 200
    tracing.stop()
    assert counted == {"sent": 9}
    by_http, by_grpc, metrics = server.named("receive")
    assert not any(b"hunter2" in sent for sent in server.bodies)
    assert by_http.attributes == {
        "burnline.signal": "traces",
        "burnline.protocol": "http",
        "burnline.bytes": len(body),
        "burnline.items": 3,
    }
    assert by_http.resource["service.name"] == "burnline"
    assert by_http.resource["service.instance.id"] == tracing.INSTANCE
    assert by_http.resource["service.version"]
    for received, trace in ((by_http, 7), (by_grpc, 9)):
        assert int.from_bytes(received.span.trace_id) == trace
        assert received.span.parent_span_id == b"\0\0\0\0\0\0\0\xab"
        assert server.below(received) == ["check", "store"]
    assert not metrics.span.parent_span_id
    assert metrics.attributes["burnline.signal"] == "metrics"


def test_a_refused_payload_says_only_why(server: Server, running: Running) -> None:
    _start(server)
    assert _post(running, b"hunter2") == 400
    tracing.stop()
    (received,) = server.named("receive")
    assert (received.span.status.code, received.span.status.message) == (2, "invalid")
    assert server.below(received) == ["check"]
    assert not any(b"hunter2" in body for body in server.bodies)


def test_the_ratio_holds_whatever_senders_sample(server: Server, running: Running) -> None:
    _start(server, 0.0)
    assert _post(running, traces(), traceparent=SAMPLED.format(7)) == 200
    assert _post(running, traces()) == 200
    with tracing.span("scrape"):
        pass
    tracing.stop()
    assert [kept.span.name for kept in server.spans] == ["scrape"]


def test_a_trace_that_its_sender_does_not_sample_is_not_gone_on_with(
    server: Server, running: Running
) -> None:
    _start(server)
    assert _post(running, traces(), traceparent=UNSAMPLED.format(7)) == 200
    assert _post(running, traces(), traceparent="not a traceparent") == 200
    tracing.stop()
    assert len(server.named("receive")) == 1
    assert len(server.spans) == 3


def test_our_own_spans_come_back_without_a_trace_of_it(server: Server, running: Running) -> None:
    """As they would through a Collector that sends its traces to this engine, too."""
    _start(server)
    assert _post(running, traces()) == 200
    server.wait("receive")
    (ours,) = server.bodies
    assert _post(running, ours) == 200
    assert (
        running.counted("burnline_received_payloads_total", signal="traces", protocol="http") == 2
    )
    tracing.stop()
    assert len(server.spans) == 3


def test_a_receiver_that_is_down_costs_a_line_in_the_log(server: Server) -> None:
    out = io.StringIO()
    configure(out)
    try:
        server.status = 400  # not to be retried
        counted = _start(server)
        for _ in range(2):
            with tracing.span("scrape"):
                pass
            seen = server.requests
            eventually(lambda seen=seen: server.requests > seen, 30)
        server.status = 200
        with tracing.span("scrape"):
            pass
        tracing.stop()
    finally:
        structlog.reset_defaults()
    assert counted == {"lost": 2, "sent": 1}
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "traces are not taken; they are lost until they are"),
        ("info", "traces are taken again"),
    ]


def test_the_end_waits_for_no_receiver(server: Server) -> None:
    server.delay = 60
    _start(server)
    with tracing.span("scrape"):
        pass
    began = time.monotonic()
    tracing.stop()
    assert time.monotonic() - began < 3 * tracing.STOP_SECONDS
    assert not tracing.enabled()
    with tracing.span("scrape") as nothing:
        assert not nothing.is_recording()


def test_an_exception_is_named_and_not_quoted(server: Server) -> None:
    _start(server)
    with pytest.raises(ValueError, match="hunter2"), tracing.span("reload", files=2):
        raise ValueError("hunter2")
    tracing.stop()
    (span,) = server.spans
    assert (span.span.status.code, span.span.status.message) == (2, "ValueError")
    assert span.attributes == {"burnline.files": 2}
    assert not span.span.events


@pytest.mark.parametrize(
    ("url", "address", "own"),
    [
        ("http://127.0.0.1:4318", "127.0.0.1:4318", True),
        ("http://localhost:4318/v1/traces", "127.0.0.1:4318", True),
        ("http://127.0.0.1:4318", "0.0.0.0:4318", True),
        ("http://127.0.0.2:4318", "0.0.0.0:4318", True),
        ("http://0.0.0.0:4318", "0.0.0.0:4318", True),
        ("http://127.0.0.1:4318", "localhost:4318", True),
        ("http://127.0.0.1", "127.0.0.1:80", True),
        ("http://127.0.0.1:4319", "127.0.0.1:4318", False),
        ("http://127.0.0.2:4318", "127.0.0.1:4318", False),
        ("http://192.0.2.1:4318", "0.0.0.0:4318", False),
        ("http://no-such-host.invalid:4318", "0.0.0.0:4318", False),
    ],
)
def test_own_addresses_are_known(url: str, address: str, own: bool) -> None:  # noqa: FBT001
    assert is_own(url, ["127.0.0.1:1", address]) is own


def test_the_engines_own_receiver_is_refused() -> None:
    match = r"own receiver.*name the Collector"
    with pytest.raises(tracing.TracesError, match=match) as refused:
        tracing.start("http://me:hunter2@localhost:4318", 1, ["127.0.0.1:4318"], lambda *_: None)
    assert "hunter2" not in str(refused.value)
    assert not tracing.enabled()


@pytest.mark.parametrize("url", ["http://host:port", "http://host:99999"])
def test_a_url_without_a_place_is_refused(url: str) -> None:
    with pytest.raises(tracing.TracesError, match="is no address"):
        tracing.start(url, 1, ["127.0.0.1:4318"], lambda *_: None)


def test_applications_variables_send_no_traces_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `--traces` does: a host's `OTEL_EXPORTER_OTLP_ENDPOINT` may well name this engine."""
    monkeypatch.setitem(os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with tracing.span("scrape") as span:
        assert not span.is_recording()
