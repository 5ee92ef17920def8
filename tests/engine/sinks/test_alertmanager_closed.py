"""Alertmanagers that ask who comes: over TLS, with client certificates, basic auth and bearer tokens."""

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from engine.access.credentials import Outgoing
from engine.service import Service, ServiceConfig
from engine.sinks.alertmanager import Replica
from engine.sinks.board import Board
from engine.telemetry.log import configure
from engine.telemetry.metrics import EngineMetrics
from slo.decision import SeriesKey
from tests.bearer_proxy import bearer_proxy, web_config
from tests.certificates import Authority, put, replace
from tests.engine.sinks.boards import alert, decision, objective
from tests.servers import alertmanager, eventually, get_json

OBJECTIVE = objective()
KEY = SeriesKey(OBJECTIVE.id, (), OBJECTIVE.generation)
TOKEN, NEXT = "alerts-token-0123456789", "alerts-token-9876543210"
PASSWORD = "basic-secret-0123"
HASH = "$2b$04$afr8dlWUpc1qd/1YH.YHM.ZIUxVIX0nmtAHwrfBfduKved0A4e5ea"

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    out = io.StringIO()
    configure(out)
    yield out
    structlog.reset_defaults()


@contextmanager
def sending(url: str, access: Outgoing, metrics: EngineMetrics) -> Iterator[Board]:
    board = Board([OBJECTIVE])
    service = Service.start(
        ServiceConfig(
            board,
            metrics=metrics,
            otlp_grpc=None,
            otlp_http=None,
            listen=None,
            alertmanagers=(url,),
            alertmanager_access=access,
        )
    )
    try:
        yield board
    finally:
        service.stop()


def fire(board: Board) -> None:
    burn = alert(KEY, starts_at=time.time())
    board.publish(decision({KEY: (1, 10)}, alerts=[burn], clock=time.time()))


def end(board: Board) -> None:
    board.publish(decision({KEY: (1, 10)}, clock=time.time()))


def up(metrics: EngineMetrics, url: str) -> float | None:
    return metrics.registry.get_sample_value(
        "burnline_alertmanager_up", {"replica": Replica(url).name}
    )


def test_tls_a_client_certificate_and_basic_auth(tmp_path: Path, log: io.StringIO) -> None:
    """All that Alertmanager itself can ask for."""
    servers, clients = Authority(tmp_path, "servers"), Authority(tmp_path, "clients")
    client = clients.issue("engine", "engine@example.org")
    web = web_config(servers.issue("am"), clients.pem, ops=HASH)
    context = servers.context(client)
    basic = {"Authorization": "Basic " + _base64(f"ops:{PASSWORD}")}
    metrics = EngineMetrics()
    access = Outgoing.open(
        "alertmanager", metrics.credentials_read, ca=servers.pem, cert=client.cert, key=client.key
    )
    with alertmanager(tmp_path, web=web, context=context, headers=basic) as am:
        url = am.replace("https://", f"https://ops:{PASSWORD}@")
        with sending(url, access, metrics) as board:
            fire(board)
            eventually(lambda: _listed(am, context, basic))
            eventually(lambda: up(metrics, url) == 1)
        # Without the certificate, or with the system's CAs, it does not arrive, and the log says why.
        for less in (
            Outgoing.open("alertmanager", metrics.credentials_read, ca=servers.pem),
            Outgoing(),
        ):
            with sending(url, less, metrics) as board:
                fire(board)
                eventually(lambda: up(metrics, url) == 0)
    assert "CERTIFICATE_VERIFY_FAILED" in log.getvalue()
    assert PASSWORD not in log.getvalue()
    assert _base64(f"ops:{PASSWORD}") not in log.getvalue()


def _listed(url: str, context, headers: dict[str, str]) -> list:
    return get_json(f"{url}/api/v2/alerts", context=context, headers=headers)


def _base64(text: str) -> str:
    from base64 import b64encode  # noqa: PLC0415

    return b64encode(text.encode()).decode()


def test_token_and_ca_are_renewed_while_it_runs(tmp_path: Path, log: io.StringIO) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    pair = first.issue("proxy")
    ca, token = tmp_path / "ca.pem", tmp_path / "token"
    ca.write_bytes(first.pem.read_bytes())
    token.write_text(TOKEN)
    metrics = EngineMetrics()
    access = Outgoing.open("alertmanager", metrics.credentials_read, token_file=token, ca=ca)
    with (
        alertmanager(tmp_path) as am,
        bearer_proxy(am, TOKEN, pair) as proxy,
        sending(proxy.url, access, metrics) as board,
    ):
        fire(board)
        eventually(lambda: get_json(f"{am}/api/v2/alerts"))
        assert proxy.statuses == [200]

        # The token is changed there first: the old is refused, the new is found and taken.
        proxy.token = NEXT
        end(board)
        eventually(lambda: 401 in proxy.statuses)
        eventually(lambda: up(metrics, proxy.url) == 0)
        replace(token, NEXT)
        eventually(lambda: not get_json(f"{am}/api/v2/alerts"), 30)
        eventually(lambda: up(metrics, proxy.url) == 1)

        # Its certificate is signed by another CA: not trusted, until the file has that.
        put(second.issue("moved"), pair)
        proxy.context.load_cert_chain(*pair)
        fire(board)
        eventually(lambda: up(metrics, proxy.url) == 0)
        replace(ca, second.pem.read_bytes())
        eventually(lambda: get_json(f"{am}/api/v2/alerts"), 30)
    assert (
        metrics.registry.get_sample_value(
            "burnline_credentials_stale", {"what": "alertmanager-token"}
        )
        == 0
    )
    assert TOKEN not in log.getvalue()
    assert NEXT not in log.getvalue()


def test_a_server_that_echoes_the_token_does_not_bring_it_into_the_log(
    log: io.StringIO,
) -> None:
    metrics = EngineMetrics()
    access = Outgoing.open("alertmanager", metrics.credentials_read, token=TOKEN)
    with bearer_proxy("http://127.0.0.1:9", NEXT) as proxy:
        proxy.echoes = True
        with sending(proxy.url, access, metrics) as board:
            fire(board)
            eventually(lambda: "it answered 401" in log.getvalue())
    assert TOKEN not in log.getvalue()
    assert json.loads(log.getvalue().splitlines()[-1])
