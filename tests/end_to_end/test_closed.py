"""A closed engine among real servers: everything gets in with its credentials, and no secret gets out."""

import base64
import http.client
import json
import re
import signal
import socket
import ssl
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

from tests.bearer_proxy import bearer_proxy, web_config
from tests.certificates import Authority, replace
from tests.end_to_end.engines import Call, Engine, send
from tests.end_to_end.test_page import SLOS
from tests.servers import alertmanager, eventually, free_port, get_json, prometheus, query

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

SENDERS, READERS, ALERTS = "senders-tok-1a2b3c4d", "readers-tok-5e6f7a8b", "alerts-tok-9c0d1e2f"
ROTATED, BROKEN, WRONG = "rotated-tok-a1b2c3d4", "broken tok e5f6a7b8", "wrong-tok-c9d0e1f2"
USER, PASSWORD = "amuser7890", "basic-secret-0123"
HASH = "$2b$04$afr8dlWUpc1qd/1YH.YHM.ZIUxVIX0nmtAHwrfBfduKved0A4e5ea"
DEAD_PASSWORD = "dead-secret-4567"


class ClosedEngine(Engine):
    """With TLS, client certificates and tokens everywhere."""

    def __init__(self, directory: Path, alertmanagers: list[str]) -> None:
        super().__init__(directory, SLOS, alertmanagers)
        self.ca, self.clients = Authority(directory, "servers"), Authority(directory, "clients")
        self.pair = self.ca.issue("engine")
        self.client = self.clients.issue("client", "client@example.org")
        self.outgoing = self.clients.issue("outgoing", "engine@example.org")
        self.token_file = directory / "senders"
        self.token_file.write_text(SENDERS + "\n")

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "BURNLINE_TLS_CERT": str(self.pair.cert),
            "BURNLINE_TLS_KEY": str(self.pair.key),
            "BURNLINE_TLS_CLIENT_CA": str(self.clients.pem),
            "BURNLINE_OTLP_TOKEN_FILE": str(self.token_file),
            "BURNLINE_HTTP_TOKEN": READERS,
            "BURNLINE_ALERTMANAGER_TOKEN": ALERTS,
            "BURNLINE_ALERTMANAGER_CA": str(self.ca.pem),
            "BURNLINE_ALERTMANAGER_CERT": str(self.outgoing.cert),
            "BURNLINE_ALERTMANAGER_KEY": str(self.outgoing.key),
        }

    def get(self, path: str) -> str:
        headers = {"Authorization": f"Bearer {READERS}"}
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.ports['face']}{path}", headers=headers
        )
        context = self.ca.context(self.client)
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.read().decode()

    def grpc_exporter(self, token: str) -> Grpc:
        return Grpc(
            endpoint=f"https://127.0.0.1:{self.ports['grpc']}",
            credentials=grpc.ssl_channel_credentials(
                self.ca.pem.read_bytes(),
                self.client.key.read_bytes(),
                self.client.cert.read_bytes(),
            ),
            headers={"authorization": f"Bearer {token}"},
            timeout=5,
        )

    def http_exporter(self, token: str) -> Http:
        return Http(
            endpoint=f"https://127.0.0.1:{self.ports['http']}/v1/traces",
            certificate_file=str(self.ca.pem),
            client_certificate_file=str(self.client.cert),
            client_key_file=str(self.client.key),
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )

    def scrape(self) -> dict[str, object]:
        """Prometheus's part."""
        return {
            "scheme": "https",
            "authorization": {"credentials": READERS},
            "tls_config": {
                "ca_file": str(self.ca.pem),
                "cert_file": str(self.client.cert),
                "key_file": str(self.client.key),
            },
        }

    def secrets(self) -> set[str]:
        """What must be nowhere: values, those that stand for them, and parts of the keys."""
        basic = {
            base64.b64encode(f"{user}:{password}".encode()).decode()
            for user, password in ((USER, PASSWORD), ("ops", DEAD_PASSWORD))
        }
        keys = {
            line
            for pair in (self.pair, self.client, self.outgoing)
            for line in pair.key.read_text().splitlines()[1:-1]
        }
        tokens = {SENDERS, READERS, ALERTS, ROTATED, *BROKEN.split(), WRONG}
        return (tokens | {PASSWORD, USER, DEAD_PASSWORD} | basic | keys) - {"tok"}


@pytest.fixture(autouse=True)
def _bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


def test_everything_gets_in_and_no_secret_gets_out(tmp_path: Path) -> None:
    am_port, dead_port = free_port(), free_port()
    engine = ClosedEngine(
        tmp_path,
        [
            f"https://{USER}:{PASSWORD}@127.0.0.1:{am_port}",
            f"http://ops:{DEAD_PASSWORD}@127.0.0.1:{dead_port}/am?api_key={DEAD_PASSWORD}",
        ],
    )
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    ask = {
        "context": engine.ca.context(engine.client),
        "headers": {"Authorization": f"Basic {basic}"},
    }
    web = web_config(engine.ca.issue("am"), engine.clients.pem, **{USER: HASH})
    plain = tmp_path / "plain"
    plain.mkdir()
    proxies = [engine.ca.issue(name) for name in ("proxy", "suspicious")]
    with (
        alertmanager(tmp_path, am_port, web, **ask) as am,
        alertmanager(plain) as upstream,
        bearer_proxy(upstream, ALERTS, proxies[0]) as proxy,
        bearer_proxy(upstream, "another", proxies[1]) as suspicious,
        prometheus(tmp_path, f"127.0.0.1:{engine.ports['face']}", engine.scrape()) as prom,
    ):
        suspicious.echoes = True
        engine.alertmanagers = (*engine.alertmanagers, proxy.url, suspicious.url)
        engine.start()
        try:
            _page_arrives(engine, am, ask, upstream, prom)
            _provoke(engine)
            seen = _said_outside(engine, am, ask, upstream)
        finally:
            engine.stop(signal.SIGTERM)
    seen["log"] = engine.log.read_text()
    assert "it answered 401" in seen["log"]  # what was provoked did happen
    assert "Alertmanager takes no alerts" in seen["log"]
    assert "the last good credentials stay in use" in seen["log"]
    for place, text in seen.items():
        assert [secret for secret in engine.secrets() if secret in text] == [], place


def _page_arrives(engine: ClosedEngine, am: str, ask: dict, upstream: str, prom: str) -> None:
    now = time.time()
    good = [Call(now - 3000 + n, model="gpt-4o") for n in range(0, 2500, 10)]
    send(engine, good, exporter=engine.http_exporter(SENDERS))
    bad = [Call(now - 285, model="o3", failed=True) for _ in range(60)]
    send(engine, bad, exporter=engine.grpc_exporter(SENDERS))
    assert eventually(lambda: get_json(f"{am}/api/v2/alerts", **ask), 30)
    assert eventually(lambda: get_json(f"{upstream}/api/v2/alerts"), 30)
    assert eventually(lambda: query(prom, 'up{job="burnline"} == 1'), 30)
    assert eventually(lambda: query(prom, 'ALERTS{severity="page",job="burnline"}'), 30)


def _provoke(engine: ClosedEngine) -> None:
    """Every kind of mistake that has a secret at hand."""
    context = engine.ca.context(engine.client)
    for token, body, kind in (
        (WRONG, b"", "application/x-protobuf"),
        (SENDERS, b"\xff" + SENDERS.encode(), "application/x-protobuf"),
        (SENDERS, SENDERS.encode(), "application/json"),
        (SENDERS, b"", f"text/{WRONG}"),
    ):
        asking = http.client.HTTPSConnection(
            "127.0.0.1", engine.ports["http"], context=context, timeout=20
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        asking.request("POST", "/v1/traces", body, headers)
        answer = asking.getresponse()
        assert answer.status in (400, 401, 415)
        assert SENDERS not in answer.read().decode(errors="replace")
        asking.close()
    exporter = engine.grpc_exporter(WRONG)
    assert exporter.export([]).name == "FAILURE"
    exporter.shutdown()
    assert _raw(engine, context, f"GET / HTTP/1.1\r\nAuthorization: Bearer {SENDERS}\0\r\n\r\n")
    assert _raw(engine, context, f"{SENDERS} {READERS}\r\n\r\n")
    assert not _raw(engine, engine.ca.context(), f"GET / HTTP/1.1\r\nX: {SENDERS}\r\n\r\n")
    # Rotated: the old is refused, then a broken file keeps the last good.
    replace(engine.token_file, ROTATED)
    send(engine, [Call(time.time())], exporter=engine.http_exporter(ROTATED))
    replace(engine.token_file, BROKEN)
    send(engine, [Call(time.time())], exporter=engine.http_exporter(ROTATED))
    key = engine.pair.key.read_bytes()
    replace(engine.pair.key, engine.outgoing.key.read_bytes())
    assert engine.get("/healthz")
    replace(engine.pair.key, key)


def _raw(engine: ClosedEngine, context: ssl.SSLContext, request: str) -> bytes:
    """The answer; nothing where the handshake failed. What is malformed is quoted to its sender."""
    address = ("127.0.0.1", engine.ports["http"])
    with socket.create_connection(address, 20) as plain:
        try:
            client = context.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(request.encode())
            return client.recv(10_000)
        except (ssl.SSLError, ConnectionError):
            return b""


def _said_outside(engine: ClosedEngine, am: str, ask: dict, upstream: str) -> dict[str, str]:
    process = Path(f"/proc/{engine.process.pid}")
    metrics = engine.get("/metrics")
    for name in ("unauthenticated_requests_total", "credentials_reload_failures_total"):
        assert re.search(rf"^burnline_{name}{{.*}} [1-9]", metrics, re.MULTILINE), name
    return {
        "/metrics": metrics,
        "index": engine.get("/"),
        "command line": (process / "cmdline").read_bytes().decode(),
        "alerts": json.dumps(get_json(f"{am}/api/v2/alerts", **ask)),
        "alerts upstream": json.dumps(get_json(f"{upstream}/api/v2/alerts")),
        "data directory": "".join(
            path.read_bytes().decode("latin-1")
            for path in (engine.directory / "data").rglob("*")
            if path.is_file()
        ),
    }
