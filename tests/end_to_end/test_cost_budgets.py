"""Warnings of cost budgets reach people once each, whatever the engine goes through."""

import json
import signal
import threading
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.dataflows.test_cost_budgets import _request
from tests.end_to_end.engines import Engine
from tests.servers import alertmanager, eventually

BUDGETS = """\
apiVersion: burnline/v1
kind: CostBudget
service: chat-api
budgets:
  - name: monthly
    dollars: 100
    alerts: {tiers: {page-fast: off, page-slow: off, ticket-fast: off, ticket-slow: off}}
"""

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


class _Inbox(BaseHTTPRequestHandler):
    """Takes Alertmanager's notifications."""

    told: Counter[tuple[str, str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            self.told[alert["labels"]["consumed"], alert["status"]] += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _send(engine: Engine, *costs: float, at: float | None = None) -> None:
    body = _request(time.time() if at is None else at, *costs).body
    request = urllib.request.Request(
        f"http://127.0.0.1:{engine.ports['http']}/v1/traces",
        body,
        {"Content-Type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def _spent(engine: Engine, dollars: float) -> None:
    eventually(lambda: engine.sample("burnline_cost_spent_dollars") == pytest.approx(dollars), 20)


def test_each_warning_once_over_kills_and_reloads(tmp_path):
    told: Counter[tuple[str, str]] = Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Inbox", (_Inbox,), {"told": told}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with alertmanager(tmp_path, webhook=f"http://127.0.0.1:{server.server_port}/") as url:
            engine = Engine(tmp_path, BUDGETS, [url])
            try:
                engine.start()
                _send(engine, 80.0, 1.0)
                eventually(lambda: told["80%", "firing"])
                engine.stop(signal.SIGKILL)
                engine.start()
                _spent(engine, 81)
                _send(engine, 1.0)
                engine.reload(BUDGETS.replace("budgets:", "labels: {}\nbudgets:"))
                _send(engine, 30.0)  # from 82 % past 95 to 112
                eventually(lambda: told["100%", "firing"])
                engine.stop(signal.SIGKILL)
                engine.start()
                _spent(engine, 112)
                _send(engine, 0.5, at=time.time() - 20)
                _spent(engine, 112.5)
                time.sleep(2.5)  # Alertmanager's groups are told of every second
            finally:
                engine.stop(signal.SIGKILL)
    finally:
        server.shutdown()
        server.server_close()
    fired = {level: count for (level, status), count in told.items() if status == "firing"}
    assert fired == {"80%": 1, "100%": 1}
