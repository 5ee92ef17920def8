"""The receivers and pages against bad clients, over real sockets; a good one is always served."""

import gzip
import json
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import grpc
import pytest

from engine.receivers.limits import Limits
from tests.engine.receivers import crowd, wire
from tests.engine.receivers.served import served
from tests.engine.receivers.test_receivers import (
    PROTOBUF,
    TRACE_METHOD,
    Running,
    call,
    post,
    start,
    traces,
)
from tests.servers import eventually
from tests.strategies.otlp import varint

MIB = 1 << 20
QUICK = Limits(
    connections=40,
    page_connections=10,
    head_seconds=1.0,
    body_seconds=3.0,
    body_grace=1.0,
    body_rate=64 << 10,
    patience=0.3,
    answer_seconds=1.0,
    items=1000,
    parsed=600_000,
    reading=8,
    waiting=100,
    streams=20,
)
# What a busy machine may add to an answer that takes milliseconds.
SOON = 5.0


@pytest.fixture(scope="module")
def module_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"limits": QUICK, "max_payload": MIB, "max_in_flight": 10 * MIB}
    running = start(tmp_path_factory.mktemp("spool"), listen="127.0.0.1:0", **limits)
    yield running
    running.service.stop()
    running.spool.close()


@pytest.fixture
def running(module_running: Running) -> Iterator[Running]:
    """After each test a good client is served by everything, at once."""
    yield module_running
    assert_serves(module_running)


def assert_serves(running: Running) -> None:
    began = time.monotonic()
    assert post(f"{running.http}/v1/traces", traces())[0] == 200
    assert call(running.grpc, TRACE_METHOD, traces()) == b""
    for page in ("metrics", "healthz"):
        url = f"http://{running.service.addresses['listen']}/{page}"
        assert post(url, None, method="GET")[0] == 200
    assert time.monotonic() - began < SOON


def http(running: Running) -> str:
    return running.service.addresses["otlp_http"]


def refused(running: Running, reason: str, listener: str = "otlp_http") -> float:
    name = "burnline_refused_connections_total"
    return running.counted(name, listener=listener, reason=reason)


# Heads


def test_a_slow_head_is_answered_with_408(running: Running) -> None:
    before = refused(running, "slow_head")
    with wire.connect(http(running)) as client:
        for character in b"POST /v1/tra":
            try:
                client.sendall(bytes([character]))
            except ConnectionError:
                break
            time.sleep(0.2)
        assert wire.statuses(wire.until_closed(client)) == [408]
    # One that says nothing at all, and one whose second head does not come to its end.
    with wire.connect(http(running)) as silent, wire.connect(http(running)) as second:
        body = traces()
        second.sendall(wire.head("/v1/traces", f"Content-Length: {len(body)}") + body)
        assert second.recv(4096).startswith(b"HTTP/1.1 200")
        second.sendall(b"POST /v1")
        assert wire.statuses(wire.until_closed(silent)) == [408]
        assert wire.statuses(wire.until_closed(second)) == [408]
    assert refused(running, "slow_head") == before + 3


def test_a_connection_without_a_request_is_kept(running: Running) -> None:
    body = traces()
    sent = wire.head("/v1/traces", f"Content-Length: {len(body)}") + body
    with wire.connect(http(running)) as client:
        for _ in range(2):
            client.sendall(sent)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(QUICK.head_seconds + 0.7)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0),  # HTTP/2
        b"\0" * 5000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        wire.head("/v1/traces", *(f"X-{n}: 1" for n in range(5000))),
        wire.head("/v1/traces", "X: a\rY: b", "Content-Length: 0"),
        wire.head("/v1/traces", "X: a\0b", "Content-Length: 0"),
        wire.head("/v1/traces", "Content-Length: -1"),
        wire.head("/v1/traces", "Content-Length: 1_0"),
        wire.head("/v1/traces", "Content-Length: 1", "Content-Length: 2"),
        wire.head("/v1/traces", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        wire.head("/v1/traces", "Transfer-Encoding: chunked, chunked"),
        wire.head("/v1/traces", "Transfer-Encoding: chunked") + b"zz\r\n\r\n",
        wire.head("/v1/traces", "Transfer-Encoding: chunked") + b"5\r\nabcdeXX0\r\n\r\n",
        wire.head("/v1/traces", "Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_closed(
    running: Running, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with wire.connect(http(running)) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up by then, as it may
        assert set(wire.statuses(wire.until_closed(client))) <= {400}
    assert "Traceback" not in "".join(capfd.readouterr()), "clients do not write the log"


def test_tls_to_a_plain_port_fails(running: Running) -> None:
    with wire.connect(http(running)) as client:
        context = ssl.create_default_context()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(client, server_hostname="localhost")
    assert refused(running, "malformed") > 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (wire.head("/\xff\xfe", "Content-Length: 0"), 400),
        (b"POST /\xff\xed\xa0\x80 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400),
        (wire.head("/../../etc/passwd", "Content-Length: 0"), 404),
        (wire.head("/v1/traces/%2e%2e/%00", "Content-Length: 0"), 404),
        (wire.head("/v1/traces%0d%0aX:%201", "Content-Length: 0"), 404),
        (b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: \xff\xfe\r\nContent-Length: 0\r\n\r\n", 415),
        (wire.head("/v1/traces", "Content-Encoding: \xff\xfe", "Content-Length: 0"), 415),
        (wire.head("/v1/traces", "Content-Encoding: gzip, gzip", "Content-Length: 0"), 415),
        (wire.head("/v1/traces", "Content-Length: 0", version="1.0"), 200),
        (wire.head("/v1/traces", "Content-Length: 0", method="BREW"), 400),
        (wire.head("/v1/traces", "Content-Length: 0", "Upgrade: websocket", "Connection: upgrade"), 200),
        (wire.head("/v1/traces", "Expect: 100-continue", "Content-Length: 2147483648"), 413),
        (wire.head("/v1/traces", "Content-Length: 2147483648"), 413),
        (wire.head("/v1/traces", f"Content-Length: {2**64}"), 400),
    ],
)  # fmt: skip
def test_odd_requests_have_an_answer(running: Running, sent: bytes, status: int) -> None:
    assert wire.ask(http(running), sent, 1) == [status]


def test_nothing_of_a_request_gets_into_the_answers_head(running: Running) -> None:
    with wire.connect(http(running)) as client:
        lines = ("Content-Length: 0", "Connection: close", "Content-Encoding: x\tSet-Cookie:a")
        client.sendall(wire.head("/v1/traces", *lines))
        answered = wire.until_closed(client)
    assert b"set-cookie" not in answered.partition(b"\r\n\r\n")[0].lower()


def test_pipelined_requests_are_answered_in_turn(running: Running) -> None:
    body = traces()
    one = wire.head("/v1/traces", f"Content-Length: {len(body)}") + body
    wrong = wire.head("/nothing", "Content-Length: 0")
    assert wire.ask(http(running), (one + wrong) * 100, 200) == [200, 404] * 100


# Bodies


@pytest.mark.parametrize(
    ("lines", "piece"),
    [("Content-Length: 100000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")],
)
def test_a_slow_body_is_answered_with_408(running: Running, lines: str, piece: bytes) -> None:
    name = "burnline_refused_payloads_total"
    labels = {"signal": "traces", "protocol": "http", "reason": "slow"}
    before = running.counted(name, **labels)
    began = time.monotonic()
    with wire.connect(http(running)) as client:
        client.sendall(wire.head("/v1/traces", lines))
        client.settimeout(0.2)
        got = b""
        while not got and time.monotonic() - began < 20:
            try:
                client.sendall(piece)
                got = client.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert wire.statuses(got) == [408]
    assert time.monotonic() - began >= QUICK.body_grace * 0.9
    assert running.counted(name, **labels) == before + 1
    assert running.counted("burnline_in_flight_bytes") == 0


def test_a_body_that_goes_on_and_on_ends_at_the_limit(running: Running) -> None:
    """Quicker than the least rate, but longer than the whole time that a body may take."""
    began = time.monotonic()
    with wire.connect(http(running)) as client:
        client.sendall(wire.head("/v1/traces", "Content-Length: 1000000"))
        client.settimeout(0.1)
        got = b""
        while not got and time.monotonic() - began < 20:
            try:
                client.sendall(b"x" * 8192)
                got = client.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert wire.statuses(got) == [408]
    assert time.monotonic() - began >= QUICK.body_seconds * 0.9


def test_a_client_that_hangs_up_leaves_nothing(running: Running) -> None:
    for _ in range(20):
        with wire.connect(http(running)) as client:
            client.sendall(wire.head("/v1/traces", "Content-Length: 100000") + b"x" * 50_000)
    eventually(lambda: running.counted("burnline_in_flight_bytes") == 0)


def test_bombs(running: Running) -> None:
    url = f"{running.http}/v1/traces"
    bomb = gzip.compress(bytes(300 * MIB))
    assert len(bomb) < MIB
    for body, status in (
        (bomb, 413),
        (gzip.compress(bomb), 400),  # in it is gzip, and no request
        (gzip.compress(b"") * 40_000, 400),
        (gzip.compress(b"a" * 64) * 10_000, 400),
        (gzip.compress(bytes(MIB - 1))[:-1], 400),
    ):
        began = time.monotonic()
        assert post(url, body, Content_Encoding="gzip")[0] == status
        assert time.monotonic() - began < SOON


def nested(tags: bytes, body: bytes) -> bytes:
    for tag in tags:
        body = bytes([tag]) + varint(len(body)) + body
    return body


def test_payloads_that_are_small_only_on_the_wire(running: Running) -> None:
    """A span takes two bytes, and then a hundred; so does a point, and so do the braces of JSON."""
    spans, points = nested(b"\x12\x0a", b"\x12\x00" * 1001), b"\x2a\x12\x12\x0a"
    for path, body, content_type, status in (
        ("/v1/traces", spans, PROTOBUF, 413),
        ("/v1/traces", nested(b"\x12\x0a", b"\x12\x00" * 1000), PROTOBUF, 200),
        ("/v1/logs", spans, PROTOBUF, 413),
        ("/v1/logs", nested(b"\x12\x0a", b"\x12\x00" * 1000), PROTOBUF, 200),
        ("/v1/metrics", nested(points, b"\x0a\x00" * 1001), PROTOBUF, 413),
        ("/v1/metrics", nested(points, b"\x0a\x00" * 1000), PROTOBUF, 200),
        ("/v1/metrics", nested(points, b"\x0a\x00" * 400_000), PROTOBUF, 413),
        ("/v1/traces", b"[" + b"[]," * 250_000 + b"[]]", "application/json", 413),
    ):
        assert post(running.http + path, body, content_type)[0] == status
    with pytest.raises(grpc.RpcError) as caught:
        call(running.grpc, TRACE_METHOD, spans)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_json_request_nested_beyond_the_stack_is_refused(running: Running) -> None:
    url = f"{running.http}/v1/traces"
    for deep in (
        '{"resourceSpans":' * 900 + "1" + "}" * 900,
        '{"spans":' * 1020 + "{}" + "}" * 1020,
        '{"spans":[' * 500 + "]}" * 500,
        "[" * 200_000,
        '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"k","value":'
        + '{"arrayValue":{"values":[' * 300
        + "]}}" * 300
        + "}]}]}]}]}",
    ):
        assert post(url, deep.encode(), "application/json")[0] in (200, 400)


# Many


def test_idle_connections_shut_nobody_out(running: Running) -> None:
    before = refused(running, "crowded")
    with ExitStack() as stack:
        many = [stack.enter_context(wire.connect(http(running))) for _ in range(200)]
        for client in many[::2]:
            with suppress(ConnectionError):
                client.sendall(b"POST /v1/traces HT")
        assert_serves(running)
        assert running.counted("burnline_connections", listener="otlp_http") <= QUICK.connections
        assert refused(running, "crowded") - before >= 200 - QUICK.connections


def test_the_pages_are_answered_beside_a_crowd_and_slow_readers(running: Running) -> None:
    address = running.service.addresses["listen"]
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(wire.connect(address))
        assert_serves(running)
    before = refused(running, "slow_reader", "listen")
    ask_on = wire.head("/metrics", method="GET") * 10
    with wire.connect(address) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.5)
        limit = time.monotonic() + 30
        while refused(running, "slow_reader", "listen") == before and time.monotonic() < limit:
            try:
                client.sendall(ask_on)
            except TimeoutError:
                continue  # it takes no more requests while its answers are not read
            except ConnectionError:
                break
    eventually(lambda: refused(running, "slow_reader", "listen") > before)


def test_slow_bodies_give_way_where_memory_runs_out(running: Running) -> None:
    hogs = 20
    with ExitStack() as stack:
        clients = [stack.enter_context(wire.connect(http(running))) for _ in range(hogs)]
        for client in clients:  # together more than may be in flight
            client.sendall(wire.head("/v1/traces", f"Content-Length: {MIB}"))
        for client in clients:
            client.sendall(bytes(900_000))
        time.sleep(QUICK.patience + 0.1)
        assert_serves(running)
        found = [
            status for client in clients for status in wire.statuses(wire.until_closed(client))
        ]
    assert len(found) == hogs
    assert set(found) <= {408, 429}
    eventually(lambda: running.counted("burnline_in_flight_bytes") == 0)


# gRPC


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        wire.PREFACE[:10],
        wire.PREFACE,
        b"",
        bytes(100_000),
        wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0) + b"\xff" * 1000,
        wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0) + wire.frame(1, 4, 1, b"\xff" * 500),
    ],
)
def test_grpc_closes_what_is_no_http2(running: Running, sent: bytes) -> None:
    with wire.connect(running.grpc) as client:
        client.sendall(sent)
        wire.until_closed(client)


def grpc_status(client: wire.Http2, stream: int) -> bytes:
    eventually(lambda: client.hear(0.2) and client.gone(stream))
    return b"".join(
        body for kind, of, body in client.heard if kind == wire.HEADERS and of == stream
    )


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", b"3"),  # INVALID_ARGUMENT: no message
        (wire.message(b"\xff"), b"3"),
        (wire.message(b"", size=2**31), b"8"),  # RESOURCE_EXHAUSTED
        (wire.message(b"", size=2**32 - 1), b"8"),
        (wire.message(gzip.compress(bytes(300 * MIB)), compressed=True), b"8"),
        (wire.message(zlib.compress(b"x"), compressed=True), b"13"),  # INTERNAL: damaged
    ],
)
def test_grpc_messages_that_lie(running: Running, sent: bytes, code: bytes) -> None:
    with wire.Http2(running.grpc) as client:
        client.open(1, wire.grpc_head(more=[("grpc-encoding", "gzip")]))
        if sent:
            client.send(1, sent, end=True)
        else:
            client.socket.sendall(wire.frame(wire.DATA, wire.END_STREAM, 1))
        status = grpc_status(client, 1)
        assert b"grpc-status" in status
        assert status.partition(b"grpc-status")[2][:4].strip(b"\x01\x02").startswith(code)


def test_grpc_messages_that_stall_give_way(running: Running) -> None:
    """Many more than may be read at a time, from several connections."""
    busy = {"signal": "traces", "protocol": "grpc", "reason": "busy"}
    before = running.counted("burnline_refused_payloads_total", **busy)
    with ExitStack() as stack:
        clients = [stack.enter_context(wire.Http2(running.grpc)) for _ in range(4)]
        for client in clients:
            for stream in range(1, 2 * 15, 2):
                client.open(stream, wire.grpc_head())
                client.send(stream, wire.message(bytes(10), size=MIB - 100), seconds=0.1)
        eventually(lambda: running.counted("burnline_refused_payloads_total", **busy) > before)
        for _ in range(3):
            began = time.monotonic()
            assert call(running.grpc, TRACE_METHOD, traces()) == b""
            assert time.monotonic() - began < SOON


def test_grpc_takes_no_endless_metadata(running: Running) -> None:
    with grpc.insecure_channel(running.grpc) as channel:
        send = channel.unary_unary(TRACE_METHOD)
        with pytest.raises(grpc.RpcError) as caught:
            send(traces(), timeout=20, metadata=[("x", "y" * 100_000)])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_grpc_streams_opened_and_reset_in_thousands(running: Running) -> None:
    with wire.Http2(running.grpc) as client:
        block = wire.grpc_head()
        opened = b"".join(
            wire.frame(wire.HEADERS, wire.END_HEADERS, stream, block)
            + wire.frame(wire.RST_STREAM, 0, stream, b"\0\0\0\x08")
            for stream in range(1, 10_001, 2)
        )
        with suppress(ConnectionError):
            client.socket.sendall(opened)
        assert_serves(running)


def test_grpc_pings_without_end_are_hung_up_on(running: Running) -> None:
    with wire.Http2(running.grpc) as client:
        for _ in range(200):
            try:
                client.socket.sendall(wire.frame(wire.PING, 0, 0, bytes(8)) * 10)
                if not client.hear(0.05):
                    break
            except ConnectionError:
                break
        assert any(kind == wire.GOAWAY for kind, _, _ in client.heard)


def test_grpc_streams_of_a_connection_are_bounded(running: Running) -> None:
    with wire.Http2(running.grpc) as client:
        eventually(lambda: client.hear(0.2) or client.heard)
        told = b"".join(body for kind, _, body in client.heard if kind == wire.SETTINGS)
        settings = {told[at : at + 2]: told[at + 2 : at + 6] for at in range(0, len(told), 6)}
        assert int.from_bytes(settings[b"\0\3"], "big") == QUICK.streams


def test_json_answers_to_odd_json(running: Running) -> None:
    """Refusals quote what was sent; an answer is made of it all the same."""
    url = f"{running.http}/v1/metrics"
    for sent in (
        b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":3}]}]}]}',
        b'{"resourceMetrics":"' + b"x" * 500_000 + b'"}',
        b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"\\ud800"}]}}]}',
        b'{"resourceMetrics":[{"resource":{"attributes":[{"value":{"intValue":1e400}}]}}]}',
        b'{"resourceMetrics":[{"resource":{"attributes":[{"value":{"intValue":'
        + b"9" * 5000
        + b"}}]}}]}",
        b'{"resourceMetrics":[{"\xc3\xa9\\u0000":{},"resource":7}]}',
    ):
        status, _, answered = post(url, sent, "application/json")
        assert status == 400
        assert len(json.loads(answered)["message"]) < 2000
        assert post(url, sent, PROTOBUF)[0] == 400


def test_descriptors_bound_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource  # noqa: PLC0415 - only here

    from engine.receivers.limits import within_descriptors  # noqa: PLC0415

    told: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *args: told.append(args))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1 << 19))
    assert within_descriptors(Limits()) == Limits()
    assert told == [(resource.RLIMIT_NOFILE, (2356, 1 << 19))]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    fewer = within_descriptors(Limits())
    assert (fewer.connections, fewer.page_connections) == (334, 100)


def test_a_good_client_beside_a_thousand_bad_ones() -> None:
    """With the limits by default, in a process of its own: answers stay quick, memory bounded."""
    with served() as at, ExitStack() as stack:
        before = at.peak_mib()
        crowd.gather(stack, at, idle=500, heads=200, bodies=200, messages=100)
        fared = crowd.fare(at, 4.0)
    assert fared.requests >= 4
    assert max(fared.slowest.values()) < 2 * SOON, fared
    # 512 MiB in flight over HTTP, 32 messages of 16 MiB over gRPC, and what Python makes of it.
    assert fared.peak_mib - before < 1300, fared
