"""From an application's spans to a page in a real Alertmanager, and back, with restarts between."""

import signal
import time
import urllib.request
from datetime import datetime

import pytest

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import alertmanager, alerts, eventually, prometheus, query

SLOS = """\
apiVersion: burnline/v1
service: chat-api
labels: {team: llm-platform}
slos:
  - name: availability
    objective: 99.9
    window: 30d
    sli:
      spans:
        total: '{ resource.service.name = "chat-api" && span.gen_ai.operation.name = "chat" }'
        bad: '{ status = error }'
    annotations: {runbook_url: https://runbooks.example/availability}
    alerts:
      tiers: {page-slow: off}
  - name: latency
    objective: 90
    window: 28d
    sli:
      spans:
        total: '{ resource.service.name = "chat-api" }'
        good: '{ duration < 2s }'
    by: [span.gen_ai.request.model]
"""

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


def _incident(now: float) -> list[Call]:
    """A good hour; then one model fails for one tenant, nearly five minutes ago."""
    calls = [
        Call(now - 3000 + n, model="gpt-4o" if n % 3 else "o3", tenant="acme" if n % 4 else "zen")
        for n in range(0, 2500, 2)
    ]
    calls += [Call(now - 260, model="o3", tenant="acme", failed=True) for _ in range(60)]
    calls += [Call(now - 260, model="gpt-4o", tenant="zen") for _ in range(40)]
    return calls


def _pages(url: str) -> list[dict]:
    return [a for a in alerts(url) if a["labels"]["severity"] == "page"]


def test_a_page_survives_a_crash_and_ends_when_the_burn_does(tmp_path):
    with alertmanager(tmp_path) as am:
        engine = Engine(tmp_path, SLOS, [am])
        with prometheus(tmp_path, f"127.0.0.1:{engine.ports['face']}") as prom:
            engine.start()
            try:
                _follow(engine, am, prom)
            finally:
                engine.stop(signal.SIGKILL)


def _follow(engine: Engine, am: str, prom: str) -> None:
    sent = time.time()
    send(engine, _incident(sent), protocol="http")
    (page,) = eventually(lambda: _pages(am))
    _check_page(page, sent)
    _check_prometheus(prom)

    # A crash: the same alert, not a new one, and no end in between.
    engine.stop(signal.SIGKILL)
    engine.start()
    send(engine, [Call(time.time())])
    time.sleep(2)
    (again,) = _pages(am)
    assert again["startsAt"] == page["startsAt"]
    assert again["fingerprint"] == page["fingerprint"]
    assert _resolved(am) == 0

    # An orderly stop: likewise.
    assert engine.stop(signal.SIGTERM) == 0
    engine.start()
    (again,) = _pages(am)
    assert again["startsAt"] == page["startsAt"]

    # The errors leave the 5-minute window while traffic goes on.
    def gone() -> bool:
        send(engine, [Call(time.time())])
        return not _pages(am)

    eventually(gone, 90)
    assert _resolved(am) > 0
    assert eventually(lambda: not query(prom, 'ALERTS{severity="page"}'), 10)


def _check_page(page: dict, sent: float) -> None:
    assert page["labels"] == {
        "alertname": "ChatApiAvailabilityBurnRate",
        "severity": "page",
        "sloth_severity": "page",
        "sloth_id": "chat-api-availability",
        "sloth_service": "chat-api",
        "sloth_slo": "availability",
        "team": "llm-platform",
    }
    said = page["annotations"]
    assert "span.gen_ai.request.model=o3 and span.tenant.id=acme: 60 of" in said["slice"]
    assert said["runbook_url"] == "https://runbooks.example/availability"
    assert "RateLimitError (60)" in said["errors"]
    assert len(said["trace_ids"].split()[0].rstrip(",")) == 32
    started = datetime.fromisoformat(page["startsAt"]).timestamp()
    assert 0 <= started - sent < 10


def _check_prometheus(prom: str) -> None:
    of = '{sloth_id="chat-api-availability"}'
    eventually(lambda: query(prom, f"slo:sli_error:ratio_rate5m{of} > 0.5"))
    ((_, hour),) = query(prom, f"slo:sli_error:ratio_rate1h{of}")
    assert hour == pytest.approx(60 / 1350, rel=0.01)
    for window in ("30m", "2h", "6h", "1d", "3d", "30d"):
        ((labels, _),) = query(prom, f"slo:sli_error:ratio_rate{window}{of}")
        assert labels["sloth_window"] == window
    ((_, burn),) = query(prom, f"slo:current_burn_rate:ratio{of}")
    assert burn == pytest.approx(600, rel=0.01)
    ((_, left),) = query(prom, f"slo:period_error_budget_remaining:ratio{of}")
    assert left == pytest.approx(1 - 60 / 1350 / 0.001, rel=0.01)
    assert query(prom, 'ALERTS{alertstate="firing",sloth_severity="page"} == 1')
    # The grouped SLO has one series under Sloth's names, and one a group under ours.
    assert len(query(prom, 'slo:sli_error:ratio_rate4w{sloth_id="chat-api-latency"}')) == 1
    groups = query(prom, 'burnline_slo_error_ratio{sloth_id="chat-api-latency",window="5m"}')
    assert {labels["gen_ai_request_model"] for labels, _ in groups} == {"gpt-4o", "o3"}


def _resolved(am: str) -> float:
    with urllib.request.urlopen(f"{am}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith('alertmanager_alerts_received_total{status="resolved"')
    )
