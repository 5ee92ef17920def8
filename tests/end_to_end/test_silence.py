"""A source that falls silent, with a real engine and a real Alertmanager."""

import signal
import time

import pytest

from tests.end_to_end.engines import Call, Engine, send
from tests.servers import alertmanager, alerts, eventually

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: burning
    objective: 99.9
    sli: {spans: {total: '{ span.gen_ai.request.model = "burning" }', bad: '{ status = error }'}}
    alerts: {ticket: off, tiers: {page-slow: off}}
  - name: ageing
    objective: 99.9
    evidence: none
    sli: {spans: {total: '{ span.gen_ai.request.model = "ageing" }', bad: '{ status = error }'}}
    alerts: {ticket: off, tiers: {page-slow: off}}
"""
STALE = 4
HOUR_BUCKET = 30

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


class Impatient(Engine):
    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"BURNLINE_STALE_AFTER": f"{STALE}s"}


def _listed(am: str, name: str) -> list[dict]:
    return [a for a in alerts(am) if a["labels"]["alertname"] == name]


def _pages(am: str, slo: str) -> list[dict]:
    return [
        a
        for a in alerts(am)
        if a["labels"].get("sloth_slo") == slo and a["labels"]["severity"] == "page"
    ]


def test_alerts_freeze_while_a_source_is_silent(tmp_path):
    with alertmanager(tmp_path) as am:
        engine = Impatient(tmp_path, SLOS, [am])
        engine.start()
        try:
            _follow(engine, am)
        finally:
            engine.stop(signal.SIGKILL)


def _follow(engine: Engine, am: str) -> None:
    now = time.time()
    # The bucket with the good events leaves the hour at this edge; then what is left burns.
    edge = (now + 30) // HOUR_BUCKET * HOUR_BUCKET + HOUR_BUCKET
    calls = [Call(edge - 3600 + 10, model="ageing")] * 1500
    calls += [Call(now - 60, model="ageing", failed=True)] * 15
    # These leave the 5 minutes in 30 s.
    calls += [Call(now - 270, model="burning", failed=True)] * 60
    calls += [Call(now - 270, model="burning")] * 40
    send(engine, calls)
    (page,) = eventually(lambda: _pages(am, "burning"))
    (watchdog,) = eventually(lambda: _listed(am, "Watchdog"))
    assert not _pages(am, "ageing")
    eventually(lambda: 'burnline_source_silent{signal="traces"} 1.0' in engine.get("/metrics"), 20)
    # A restart changes nothing of it.
    engine.stop(signal.SIGKILL)
    engine.start()
    until = max(edge, now + 35) + 4
    while time.time() < until:
        (still,) = _pages(am, "burning")
        assert still["startsAt"] == page["startsAt"]
        assert not _pages(am, "ageing")
        assert _listed(am, "Watchdog")[0]["startsAt"] == watchdog["startsAt"]
        time.sleep(0.5)
    eventually(lambda: 'burnline_slo_frozen{sloth_id="chat-api-burning"' in engine.get("/metrics"))
    told = [line for line in engine.logged() if line["event"].startswith("a source is silent")]
    assert {line["signal"] for line in told} == {"traces"}
    # Any span will do: what burned is over, and what aged burns.
    send(engine, [Call(time.time(), model="other")])
    eventually(lambda: _pages(am, "ageing"))
    eventually(lambda: not _pages(am, "burning"))
    assert 'burnline_source_silent{signal="traces"} 0.0' in engine.get("/metrics")
    assert any(line["event"] == "a source is heard again" for line in engine.logged())
