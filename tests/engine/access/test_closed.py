"""Listeners with tokens, TLS and client certificates, as exporters and plain clients meet them."""

import http.client
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from engine.access import tls
from engine.access.credentials import Outgoing, Token
from engine.access.guard import (
    NO_CERTIFICATE,
    NO_TOKEN,
    WRONG_TOKEN,
    warn_if_in_the_clear,
    warn_if_open,
)
from engine.access.rotation import CredentialsError
from engine.access.tls import ServerTls
from engine.receivers import otlp_grpc
from engine.service import Service, ServiceConfig
from engine.sinks.board import Board
from engine.spool.spool import Spool
from engine.telemetry.log import configure
from engine.telemetry.metrics import EngineMetrics
from tests.certificates import Authority, Pair, put, replace
from tests.engine.receivers.test_receivers import (
    LOG_METHOD,
    METRIC_METHOD,
    PROTOBUF,
    TRACE_METHOD,
    traces,
)
from tests.servers import eventually

TOKEN, NEXT = "senders-token-0123456789", "senders-token-9876543210"
PAGE_TOKEN = "readers-token-0123456789"


class Closed:
    """A service with credentials in files of its own."""

    def __init__(
        self, path: Path, *, token: bool = True, secured: bool = True, mutual: bool = False
    ):
        self.ca, self.clients = Authority(path, "servers"), Authority(path, "clients")
        self.pair = self.ca.issue("server")
        self.client = self.clients.issue("client", "client@example.org")
        self.client_ca = path / "client-ca.pem"
        self.client_ca.write_bytes(self.clients.pem.read_bytes())
        self.token_file = path / "tokens"
        self.token_file.write_text(TOKEN)
        self.metrics = EngineMetrics()
        self.spool = Spool(path / "s.db", 1 << 30)
        told = self.metrics.credentials_read
        self.tls = (
            ServerTls(*self.pair, self.client_ca if mutual else None, self.metrics)
            if secured
            else None
        )
        self.service = Service.start(
            ServiceConfig(
                Board([]),
                self.spool,
                self.metrics,
                otlp_grpc="127.0.0.1:0",
                otlp_http="127.0.0.1:0",
                listen="127.0.0.1:0",
                tls=self.tls,
                otlp_token=Token.open("otlp-token", self.token_file, None, told) if token else None,
                http_token=Token.open("http-token", None, PAGE_TOKEN, told) if token else None,
            )
        )

    def stop(self) -> None:
        self.service.stop()
        self.spool.close()

    def url(self, listener: str) -> str:
        return f"https://{self.service.addresses[listener]}"

    def address(self, listener: str) -> tuple[str, int]:
        host, port = self.service.addresses[listener].split(":")
        return host, int(port)

    def connection(
        self, listener: str, context: ssl.SSLContext | None = None
    ) -> http.client.HTTPConnection:
        host, port = self.address(listener)
        if self.tls is None:
            return http.client.HTTPConnection(host, port, timeout=20)
        return http.client.HTTPSConnection(
            host, port, timeout=20, context=context or self.ca.context()
        )

    def post(
        self,
        token: str | None = TOKEN,
        connection: http.client.HTTPConnection | None = None,
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {"Content-Type": PROTOBUF} | {k.replace("_", "-"): v for k, v in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        used = connection or self.connection("otlp_http", context)
        used.request("POST", "/v1/traces", traces(), sent)
        answer = used.getresponse()
        found = answer.status, dict(answer.headers), answer.read()
        if connection is None:
            used.close()
        return found

    def page(
        self, path: str, token: str | None = PAGE_TOKEN, context: ssl.SSLContext | None = None
    ) -> tuple[int, str]:
        connection = self.connection("listen", context)
        connection.request(
            "GET", path, headers={"Authorization": f"Bearer {token}"} if token else {}
        )
        answer = connection.getresponse()
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    def channel(self, client: Pair | None = None) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(
            self.ca.pem.read_bytes(),
            client and client.key.read_bytes(),
            client and client.cert.read_bytes(),
        )
        # A pool of its own: gRPC would share a connection with another channel to the same place.
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(self.service.addresses["otlp_grpc"], credentials, options)

    def call(
        self,
        token: str | None = TOKEN,
        channel: grpc.Channel | None = None,
        client: Pair | None = None,
        method: str = TRACE_METHOD,
    ) -> grpc.StatusCode:
        used = channel or self.channel(client)
        metadata = [("authorization", f"Bearer {token}")] if token is not None else []
        try:
            used.unary_unary(method)(traces(), timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
        else:
            return grpc.StatusCode.OK
        finally:
            if channel is None:
                used.close()

    def stored(self) -> int:
        return len(self.spool.read(0, 1000, 1 << 30))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture(autouse=True)
def _bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporters' HTTP client would trust what these name instead of its own variable's CA."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    out = io.StringIO()
    configure(out)
    yield out
    structlog.reset_defaults()


def running(path: Path, **how: bool) -> Iterator[Closed]:
    closed = Closed(path, **how)
    yield closed
    closed.stop()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """Tokens alone."""
    yield from running(tmp_path_factory.mktemp("plain"), secured=False)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """Tokens over TLS."""
    yield from running(tmp_path_factory.mktemp("secured"))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """Client certificates, no tokens."""
    yield from running(tmp_path_factory.mktemp("mutual"), token=False, mutual=True)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Closed]:
    """Everything, to be changed."""
    yield from running(tmp_path, mutual=True)


# Tokens


@pytest.mark.parametrize("header", [None, "wrong", "", f"{TOKEN}x"])
def test_http_without_the_token(plain: Closed, header: str | None) -> None:
    before = plain.counted(
        "burnline_refused_payloads_total",
        signal="traces",
        protocol="http",
        reason="unauthenticated",
    )
    stored = plain.stored()
    status, headers, body = plain.post(header)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert headers["Content-Type"] == PROTOBUF
    told = Status.FromString(body)
    assert told.code == 16
    assert told.message == (NO_TOKEN if header is None else WRONG_TOKEN)
    status, headers, body = plain.post(header, Content_Type="application/json")
    assert (status, headers["Content-Type"].split(";")[0]) == (401, "application/json")
    assert json.loads(body)["code"] == 16
    after = plain.counted(
        "burnline_refused_payloads_total",
        signal="traces",
        protocol="http",
        reason="unauthenticated",
    )
    assert after - before == 2
    assert plain.stored() == stored


def test_http_with_the_token(plain: Closed) -> None:
    stored = plain.stored()
    assert plain.post()[0] == 200
    assert plain.stored() == stored + 1


def test_strangers_learn_nothing_of_paths_and_methods(plain: Closed) -> None:
    connection = plain.connection("otlp_http")
    for method, path in (("GET", "/"), ("PUT", "/v1/traces"), ("POST", "/v1/logs"), ("GET", "/x")):
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401
    connection.close()


def test_strangers_are_answered_before_their_body_comes(plain: Closed) -> None:
    with socket.create_connection(plain.address("otlp_http"), 20) as client:
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 60000000\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("method", [TRACE_METHOD, METRIC_METHOD, LOG_METHOD, "/no.Such/Method"])
def test_grpc_without_the_token(secured: Closed, method: str) -> None:
    stored = secured.stored()
    turned_away = secured.counted("burnline_unauthenticated_requests_total", listener="otlp_grpc")
    for token in (None, "wrong", ""):
        assert secured.call(token, method=method) is grpc.StatusCode.UNAUTHENTICATED
    assert secured.stored() == stored
    assert (
        secured.counted("burnline_unauthenticated_requests_total", listener="otlp_grpc")
        == turned_away + 3
    )
    if method in otlp_grpc.METHODS:
        assert (
            secured.counted(
                "burnline_refused_payloads_total",
                signal=otlp_grpc.METHODS[method],
                protocol="grpc",
                reason="unauthenticated",
            )
            == 3
        )


def test_grpc_strangers_are_answered_before_their_message_comes(secured: Closed) -> None:
    """A message larger than any is let in is still told what is wrong first."""
    with secured.channel() as channel:

        def messages() -> Iterator[bytes]:
            asked.wait(20)
            yield b""

        asked = threading.Event()
        call = channel.stream_unary(TRACE_METHOD)
        with pytest.raises(grpc.RpcError) as caught:
            call(messages(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert caught.value.details() == NO_TOKEN
        asked.set()


def test_pages_want_the_token_and_probes_do_not(secured: Closed) -> None:
    for path in ("/metrics", "/", "/nothing"):
        assert secured.page(path, None) == (401, NO_TOKEN + "\n")
        assert secured.page(path, TOKEN) == (401, WRONG_TOKEN + "\n")  # a sender's is no reader's
    assert secured.page("/nothing")[0] == 404
    assert "burnline_unauthenticated_requests_total" in secured.page("/metrics")[1]
    assert secured.page("/healthz", None)[0] == 200
    assert secured.page("/readyz", None)[0] in (200, 503)


def test_a_changed_token_counts_on_open_connections(fresh: Closed) -> None:
    context = fresh.ca.context(fresh.client)
    connection = fresh.connection("otlp_http", context)
    assert fresh.post(TOKEN, connection)[0] == 200
    with fresh.channel(fresh.client) as channel:
        assert fresh.call(TOKEN, channel) is grpc.StatusCode.OK
        replace(fresh.token_file, f"{NEXT}\n{TOKEN}\n")
        assert fresh.post(TOKEN, connection)[0] == fresh.post(NEXT, connection)[0] == 200
        assert fresh.call(TOKEN, channel) is fresh.call(NEXT, channel) is grpc.StatusCode.OK
        replace(fresh.token_file, NEXT)
        assert fresh.post(TOKEN, connection)[0] == 401
        assert fresh.post(NEXT, connection)[0] == 200
        assert fresh.call(TOKEN, channel) is grpc.StatusCode.UNAUTHENTICATED
        assert fresh.call(NEXT, channel) is grpc.StatusCode.OK
    connection.close()


# TLS


def _exported(exporter: SpanExporter) -> bool:
    """Whether the exporter says that a span arrived."""
    results = []

    class Watching(SimpleSpanProcessor):
        def on_end(self, span: Any) -> None:
            results.append(self.span_exporter.export((span,)))

    provider = TracerProvider()
    provider.add_span_processor(Watching(exporter))
    provider.get_tracer("t").start_span("chat").end()
    provider.shutdown()
    return [result.name for result in results] == ["SUCCESS"]


def test_the_official_exporters_over_tls_with_headers(
    secured: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an application is configured: by the SDK's own variables alone."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization=Bearer%20{TOKEN}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(secured.ca.pem))
    stored = secured.stored()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", secured.url("otlp_grpc"))
    assert _exported(GrpcSpanExporter())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", secured.url("otlp_http"))
    assert _exported(HttpSpanExporter())
    provider = MeterProvider([PeriodicExportingMetricReader(HttpMetricExporter())])
    provider.get_meter("t").create_counter("c").add(1)
    provider.shutdown()
    assert secured.stored() == stored + 3


def test_the_official_exporters_with_client_certificates(
    mutual: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(mutual.ca.pem))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(mutual.client.cert))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(mutual.client.key))
    stored = mutual.stored()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", mutual.url("otlp_grpc"))
    assert _exported(GrpcSpanExporter())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", mutual.url("otlp_http"))
    assert _exported(HttpSpanExporter())
    assert mutual.stored() == stored + 2


def test_clients_without_a_right_certificate_end_in_the_handshake(mutual: Closed) -> None:
    stranger = mutual.ca.issue("stranger", "stranger@example.org")
    failed = mutual.counted("burnline_tls_handshake_failures_total", listener="otlp_http")
    for context in (mutual.ca.context(), mutual.ca.context(stranger)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            mutual.post(None, context=context)
    for pair in (None, stranger):
        assert mutual.call(None, client=pair) is grpc.StatusCode.UNAVAILABLE
    assert (
        mutual.counted("burnline_tls_handshake_failures_total", listener="otlp_http") == failed + 2
    )
    assert mutual.post(None, context=mutual.ca.context(mutual.client))[0] == 200
    assert mutual.call(None, client=mutual.client) is grpc.StatusCode.OK


def test_pages_want_the_certificate_and_probes_do_not(mutual: Closed) -> None:
    stranger = mutual.ca.issue("stranger2", "stranger@example.org")
    assert mutual.page("/metrics", None, mutual.ca.context()) == (403, NO_CERTIFICATE + "\n")
    assert mutual.page("/healthz", None, mutual.ca.context())[0] == 200
    assert mutual.page("/metrics", None, mutual.ca.context(mutual.client))[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):  # a wrong one is worse than none
        mutual.page("/healthz", None, mutual.ca.context(stranger))


def test_an_intermediate_ca_of_clients_is_enough(tmp_path: Path) -> None:
    """For OpenSSL and gRPC alike, though the root is not among the trusted."""
    closed = Closed(tmp_path, token=False, mutual=True)
    try:
        child = closed.clients.made.create_child_ca()
        leaf = child.issue_cert("c@example.org")
        pair = Pair(tmp_path / "leaf.crt", tmp_path / "leaf.key")
        pair.cert.write_bytes(leaf.cert_chain_pems[0].bytes())
        pair.key.write_bytes(leaf.private_key_pem.bytes())
        replace(closed.client_ca, child.cert_pem.bytes())
        assert closed.post(None, context=closed.ca.context(pair))[0] == 200
        assert closed.call(None, client=pair) is grpc.StatusCode.OK
        with pytest.raises((ssl.SSLError, ConnectionError)):
            closed.post(None, context=closed.ca.context(closed.client))
    finally:
        closed.stop()


@pytest.mark.parametrize("listener", ["otlp_http", "listen"])
def test_what_is_no_tls_fails(secured: Closed, listener: str) -> None:
    failed = secured.counted("burnline_tls_handshake_failures_total", listener=listener)
    with socket.create_connection(secured.address(listener), 20) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in client.recv(1000)
    old = secured.ca.context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with (
        socket.create_connection(secured.address(listener), 20) as client,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(client, server_hostname="127.0.0.1")
    assert eventually(
        lambda: (
            secured.counted("burnline_tls_handshake_failures_total", listener=listener)
            == failed + 2
        )
    )


def test_a_handshake_that_does_not_come_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.3)
    closed = Closed(tmp_path)
    try:
        with socket.create_connection(closed.address("listen"), 20) as client:
            began = time.monotonic()
            assert client.recv(10) == b""
            assert time.monotonic() - began < 15
    finally:
        closed.stop()


# Rotation


def _serial(closed: Closed, listener: str, context: ssl.SSLContext) -> str:
    """Of the certificate that a listener shows; without SNI, as for an address."""
    with (
        socket.create_connection(closed.address(listener), 20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        return client.getpeercert()["serialNumber"]


def test_certificates_are_renewed_with_connections_open(fresh: Closed) -> None:
    context = fresh.ca.context(fresh.client)
    old = _serial(fresh, "otlp_http", context)
    connection = fresh.connection("otlp_http", context)
    assert fresh.post(TOKEN, connection)[0] == 200
    with fresh.channel(fresh.client) as channel:
        assert fresh.call(TOKEN, channel) is grpc.StatusCode.OK
        put(fresh.ca.issue("renewed"), fresh.pair)
        assert _serial(fresh, "otlp_http", context) == _serial(fresh, "listen", context) != old
        # What was open goes on: gRPC as it was, HTTP for one more answer.
        assert fresh.call(TOKEN, channel) is grpc.StatusCode.OK
        status, headers, _ = fresh.post(TOKEN, connection)
        assert (status, headers.get("Connection")) == (200, "close")
    status, headers, _ = fresh.post(TOKEN, context=context)
    assert (status, headers.get("Connection")) == (200, None)
    assert fresh.call(TOKEN, client=fresh.client) is grpc.StatusCode.OK
    assert fresh.counted("burnline_credentials_reload_failures_total", what="tls") <= 1
    assert fresh.counted("burnline_credentials_stale", what="tls") == 0


def test_another_ca_signs_the_listeners(fresh: Closed, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    put(other.issue("moved"), fresh.pair)
    with pytest.raises(ssl.SSLError):
        fresh.post(TOKEN, context=fresh.ca.context(fresh.client))
    assert fresh.call(TOKEN, client=fresh.client) is grpc.StatusCode.UNAVAILABLE
    fresh.ca = other
    assert fresh.post(TOKEN, context=other.context(fresh.client))[0] == 200
    assert fresh.call(TOKEN, client=fresh.client) is grpc.StatusCode.OK


def _refused(plain: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession) -> bool:
    """Whether a session can't be taken up again; TLS 1.3 says so after the client's handshake."""
    try:
        client = context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return client.recv(10) == b""
    except (ssl.SSLError, ConnectionError):
        return True


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_ca_signs_the_clients(
    fresh: Closed, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    other = Authority(tmp_path, "new-clients")
    newcomer = other.issue("newcomer", "newcomer@example.org")
    context = fresh.ca.context(fresh.client)
    context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        fresh.post(TOKEN, context=fresh.ca.context(newcomer))
    assert fresh.call(TOKEN, client=newcomer) is grpc.StatusCode.UNAVAILABLE
    # A session that was begun under the old CA, kept by the client for later.
    with (
        socket.create_connection(fresh.address("otlp_http"), 20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 401")
        session = client.session
    replace(fresh.client_ca, other.pem.read_bytes())
    assert fresh.post(TOKEN, context=fresh.ca.context(newcomer))[0] == 200
    assert fresh.call(TOKEN, client=newcomer) is grpc.StatusCode.OK
    with pytest.raises((ssl.SSLError, ConnectionError)):
        fresh.post(TOKEN, context=context)
    assert fresh.call(TOKEN, client=fresh.client) is grpc.StatusCode.UNAVAILABLE
    with socket.create_connection(fresh.address("otlp_http"), 20) as plain:
        assert _refused(plain, context, session)


def test_a_bad_new_pair_keeps_the_old(fresh: Closed, log: io.StringIO) -> None:
    context = fresh.ca.context(fresh.client)
    old = _serial(fresh, "otlp_http", context)
    key = fresh.pair.key.read_bytes()
    for bad in (fresh.ca.issue("not-it").key.read_bytes(), b"nonsense", b""):
        replace(fresh.pair.key, bad)
        assert _serial(fresh, "otlp_http", context) == old
        assert fresh.call(TOKEN, client=fresh.client) is grpc.StatusCode.OK
    assert fresh.counted("burnline_credentials_reload_failures_total", what="tls") == 3
    assert fresh.counted("burnline_credentials_stale", what="tls") == 1
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    complaints = [line["error"] for line in lines if line["level"] == "error"]
    assert len(complaints) == 2  # empty and nonsense: the same complaint, once
    assert "is not the key of" in complaints[0]
    replace(fresh.pair.key, key)
    assert _serial(fresh, "otlp_http", context) == old
    assert fresh.counted("burnline_credentials_stale", what="tls") == 0


def test_a_client_certificate_is_shown_anew_by_and_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC ends connections in good order after a while: calls go on, new handshakes are made."""
    monkeypatch.setattr(otlp_grpc, "CLIENT_SECONDS", 1)
    closed = Closed(tmp_path, token=False, mutual=True)
    try:
        with closed.channel(closed.client) as channel:
            assert closed.call(None, channel) is grpc.StatusCode.OK
            replace(closed.client_ca, closed.ca.pem.read_bytes())  # the client's CA is withdrawn
            assert eventually(lambda: closed.call(None, channel) is grpc.StatusCode.UNAVAILABLE, 30)
    finally:
        closed.stop()


def test_unusable_certificates_at_the_start(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    pair, other = ca.issue("a"), ca.issue("b")
    with pytest.raises(CredentialsError, match=r"--tls-key .*b\.key is not the key of --tls-cert"):
        ServerTls(pair.cert, other.key, None, EngineMetrics())
    with pytest.raises(CredentialsError, match=r"--tls-client-ca .*a\.key holds no certificates"):
        ServerTls(*pair, pair.key, EngineMetrics())
    with pytest.raises(CredentialsError, match="--tls-client-ca: No such file"):
        ServerTls(*pair, tmp_path / "no", EngineMetrics())


# Warnings


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("burnline.example.org:1", False),
    ],
)
def test_open_doors_are_told_of(
    mutual: Closed, secured: Closed, log: io.StringIO, address: str, *, loopback: bool
) -> None:
    def said(token: Token | None, tls: ServerTls | None) -> str:
        log.seek(0)
        log.truncate()
        warn_if_open("--otlp-grpc", address, "--otlp-token-file", token, tls)
        return log.getvalue()

    token = Token((b"x",))
    for nobody_asked in (said(None, None), said(None, secured.tls)):
        assert (
            "anyone who reaches --otlp-grpc is let in; give --otlp-token-file, or" in nobody_asked
        ) is (not loopback)
    assert ("in the clear" in said(token, None)) is not loopback
    assert not said(token, secured.tls)
    assert not said(None, mutual.tls)


def test_a_token_in_the_clear_is_told_of(log: io.StringIO) -> None:
    outgoing = Outgoing(Token((b"x",)))
    for quiet in ("http://127.0.0.1:9093", "https://am.example.org", "http://localhost"):
        warn_if_in_the_clear("--alertmanager", quiet, outgoing)
    warn_if_in_the_clear("--alertmanager", "http://am.example.org", Outgoing())
    assert not log.getvalue()
    warn_if_in_the_clear("--alertmanager", "http://u:hunter2@am.example.org", outgoing)
    assert "write https:// in --alertmanager" in log.getvalue()
    assert "hunter2" not in log.getvalue()


def test_the_service_tells_of_its_open_doors(tmp_path: Path, log: io.StringIO) -> None:
    spool = Spool(tmp_path / "s.db", 1 << 30)
    addresses = dict.fromkeys(("otlp_grpc", "otlp_http", "listen"), "0.0.0.0:0")
    Service.start(ServiceConfig(Board([]), spool, **addresses)).stop()
    spool.close()
    warned = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [line["event"].split()[3] for line in warned if line["level"] == "warning"]
    assert told == ["--otlp-grpc", "--otlp-http", "--http"]
