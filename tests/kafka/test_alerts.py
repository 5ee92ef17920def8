"""Alerts of what is read from Kafka reach Alertmanager, and a topic, once, whatever is killed."""

import http.server
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.kafka.calls import TENANTS, Calls
from tests.kafka.readers import Readers, ended
from tests.servers import alertmanager, alerts, eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]
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
    by: [span.tenant.id]
    alerts:
      tiers: {page-slow: off, ticket-fast: off, ticket-slow: off}
"""
# Of a time as text: Alertmanager lists no more.
MILLISECONDS = len("2026-11-28T19:33:03.530")
PAGE = "ChatApiAvailabilityBurnRate"


@contextmanager
def told() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """A page that Alertmanager tells: its URL, and (status, fingerprint, start) of each alert it was told."""
    heard: list[tuple[str, str, str]] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.extend((a["status"], a["fingerprint"], a["startsAt"]) for a in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


def _pages(url: str) -> dict[str, str]:
    """Starts of the pages that are active, by fingerprint."""
    return {
        one["fingerprint"]: one["startsAt"]
        for one in alerts(url)
        if one["labels"]["alertname"] == PAGE
    }


@pytest.mark.parametrize("processes", [1, 2])
def test_each_is_told_once_and_keeps_its_start(tmp_path, kafka, topics, name, processes):
    topics.create(name, 2)
    topics.create(f"{name}-alerts", cleanup_policy="compact")
    calls = Calls(topics, name)
    with told() as (hook, heard), alertmanager(tmp_path, webhook=hook) as url:
        settings = {"KAFKA_ALERTS": f"{name}-alerts", "RECOVERY_PARTITIONS": "2"}
        readers = Readers(tmp_path, kafka, name, slos=SLOS, alertmanagers=[url], **settings)
        with ended(readers):
            readers.start(processes)
            calls.write(8, (0, 1), failing=1.0)
            started = eventually(lambda: len(p := _pages(url)) == len(TENANTS) and p, 30)
            said = eventually(lambda: _said(topics, name, started), 20)
            assert _starts(said) == {start[:MILLISECONDS] for start in started.values()}
            readers.stop(signal.SIGKILL)
            readers.start(processes)
            time.sleep(3)
            readers.stop()
            readers.start(3 - processes)  # a cluster is one process now, and one a cluster
            time.sleep(3)
            assert _pages(url) == started
            # So many calls go well that nothing burns any more.
            calls.write(100, (0, 1), spans=60, failing=0.0)
            eventually(lambda: not _pages(url), 40)
            eventually(
                lambda: len([h for h in heard if h[0] == "resolved" and h[1] in started]) == 2, 20
            )
            ends = eventually(lambda: _said(topics, name, started, "resolved"), 20)
            assert _starts(ends) == _starts(said)
    pages = Counter(
        (status, fingerprint) for status, fingerprint, _ in heard if fingerprint in started
    )
    assert pages == {(status, f): 1 for status in ("firing", "resolved") for f in started}


def _starts(messages: list[dict[str, Any]]) -> set[str]:
    return {message["startsAt"][:MILLISECONDS] for message in messages}


def _said(
    topics: Any, name: str, keys: dict[str, str], status: str = "firing"
) -> list[dict[str, Any]]:
    """The newest message of each of these alerts on the topic, once all of them have that status."""
    newest = {m.key().decode(): json.loads(m.value()) for m in topics.read(f"{name}-alerts")}
    found = [newest[key] for key in keys if key in newest]
    return found if len(found) == len(keys) and all(m["status"] == status for m in found) else []
