"""The engine seen from outside: dashboard, rules, traces and log of a real one that has traffic."""

import math
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.dashboards import engine as board
from tests.end_to_end.engines import Call, Engine, send
from tests.otlp_server import Kept, Server, otlp_server
from tests.servers import alertmanager, alerts, eventually, free_port, prometheus, query
from tests.test_seen import ABSENT, ALERTS

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99.9
    sli:
      spans:
        total: '{ resource.service.name = "chat-api" }'
        bad: '{ status = error }'
    by: [span.gen_ai.request.model]
"""
# What the made-up traffic is bound to set off, and what depends on the machine.
EXPECTED = {"BurnlineEventsLate", "BurnlineDiskLow"}

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


class Traced(Engine):
    """An engine that traces everything to a server."""

    traces = ""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "BURNLINE_TRACES": self.traces,
            "BURNLINE_TRACES_RATIO": "1",
            "BURNLINE_LOG_LEVEL": "debug",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }


class Traffic:
    """Some all the time: rates and quantiles need some in their range.

    Attributes:
        payloads: of twenty spans each, that were acknowledged.
    """

    def __init__(self, engine: Engine) -> None:
        self.payloads = 0
        self._engine = engine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.5):
            send(self._engine, [Call(time.time()) for _ in range(20)], protocol="http")
            self.payloads += 1

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class Watched(NamedTuple):
    engine: Traced
    prometheus: str
    spans: Server
    traffic: Traffic


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    with alertmanager(directory) as am, otlp_server() as spans:
        engine = Traced(directory, SLOS, [am])
        engine.traces = spans.url
        with prometheus(directory, f"127.0.0.1:{engine.ports['face']}") as prom:
            engine.start()
            try:
                now = time.time()
                send(engine, [Call(now - 400, failed=n % 2 == 0) for n in range(500)])
                eventually(lambda: alerts(am), 30)
                traffic = Traffic(engine)
                try:
                    eventually(lambda: traffic.payloads >= 8, 30)
                    yield Watched(engine, prom, spans, traffic)
                finally:
                    traffic.stop()
            finally:
                if engine.process.poll() is None:
                    engine.stop()


def _absent(text: str) -> bool:
    return any(name in text for name in ABSENT)


def _asked(promql: str) -> str:
    """A query of the dashboard as Grafana sends it for all engines."""
    chosen = promql.replace("$job", ".+").replace("$instance", ".+")
    return chosen.replace("$__rate_interval", "10s")


@pytest.mark.parametrize("promql", board.PAGE.queries)
def test_every_panel_has_data(watched: Watched, promql: str) -> None:
    def values() -> list[float]:
        return [value for _, value in query(watched.prometheus, _asked(promql))]

    if _absent(promql):
        values()  # it is at least a query
    else:
        eventually(lambda: [v for v in values() if not math.isnan(v)], 20)


def test_model_calls_have_series(watched: Watched) -> None:
    labels = 'service="chat-api",provider="openai",model="gpt-4o"'

    def value(promql: str) -> float:
        return sum(value for _, value in query(watched.prometheus, promql))

    calls = f'burnline_llm_requests_total{{{labels},tenant="acme"'
    eventually(lambda: value(f'{calls},status="ok"}}') > 250, 30)
    assert value(f'{calls},status="error"}}') == 250
    assert value(f'burnline_llm_errors_total{{{labels},error_type="RateLimitError"}}') == 250
    # All take 0.8 s, in the bucket that ends at 1.
    seconds = f"burnline_llm_request_duration_seconds_bucket{{{labels}"
    assert value(f'{seconds},le="0.75"}}') == 0
    assert value(f'{seconds},le="1.0"}}') >= 500
    assert value('count(burnline_price_table_info{version!=""})') == 1


def test_a_sound_engine_sets_off_nothing(watched: Watched) -> None:
    """And every rule is a query that this Prometheus takes."""
    active = {name for name, rule in ALERTS.items() if query(watched.prometheus, rule["expr"])}
    assert active - EXPECTED == set()


def test_what_it_does_is_traced(watched: Watched) -> None:
    spans = watched.spans
    received, flow, snapshot, sent, scrape = map(
        spans.wait, ("receive", "flow", "snapshot", "send alerts", "scrape")
    )
    assert spans.below(received) == ["check", "store"]
    assert received.attributes["burnline.items"] == 500
    assert spans.below(flow) == ["decide", "intake", "measure", "publish", "windows"]
    assert flow.attributes["burnline.spans"] == 500
    assert flow.attributes["burnline.payloads"] == 1
    assert 0 <= flow.attributes["burnline.waited_seconds"] < 10
    _check_nested(spans, flow)
    assert snapshot.attributes["burnline.bytes"] > 0
    assert sent.attributes["http.response.status_code"] == 200
    assert sent.attributes["burnline.alerts"] >= 1
    assert scrape.attributes["burnline.bytes"] > 0
    assert {kept.resource["service.name"] for kept in spans.spans} == {"burnline"}
    assert len({kept.resource["service.instance.id"] for kept in spans.spans}) == 1


def _check_nested(spans: Server, flow: Kept) -> None:
    for kept in spans.spans:
        if kept.span.parent_span_id == flow.span.span_id:
            inside = (kept.span.start_time_unix_nano, kept.span.end_time_unix_nano)
            assert flow.span.start_time_unix_nano <= inside[0] <= inside[1]
            assert inside[1] <= flow.span.end_time_unix_nano
            assert kept.attributes["burnline.busy_seconds"] >= 0


def test_its_metrics_are_those_of_the_traffic(watched: Watched) -> None:
    watched.traffic.stop()
    sent = watched.traffic.payloads
    time.sleep(2)  # all of it is decided on
    text = watched.engine.get("/metrics")

    def value(name: str) -> float:
        (found,) = re.findall(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)
        return float(found)

    assert value('burnline_measured_items_total{signal="traces"}') == 500 + sent * 20
    assert value('burnline_events_late_total{age="1h",signal="traces"}') == 500
    assert value("burnline_series") == 2  # one model, and the sum over all
    assert sent + 1 <= value("burnline_decision_seconds_count") <= 2 * (sent + 1)
    assert value("burnline_spool_committed_payloads_total") == sent + 1
    assert value('burnline_disk_bytes{what="spool"}') > 0
    assert value('burnline_disk_bytes{what="recovery"}') > 0


def test_the_log_says_what_changed(watched: Watched, tmp_path: Path) -> None:  # noqa: ARG001
    """The last of the module: it kills the engine, and starts it again on what it left."""
    engine = watched.engine
    assert [line["signal"] for line in _said(engine, "the first payload has come")] == ["traces"]
    (starting,) = _said(engine, "starting")
    assert (starting["slos"], starting["workers"]) == (1, 1)
    for _ in range(20):  # until one lies behind the last snapshot
        send(engine, [Call(time.time())])
    engine.stop(signal.SIGKILL)
    engine.start()
    eventually(lambda: _said(engine, "read again; live from here on"), 20)
    (begins,) = _said(
        engine, "reading again what came since the last snapshot; nothing is sent meanwhile"
    )
    assert begins["payloads"] >= 1
    assert engine.stop() == 0
    assert _said(engine, "stopped")


def _said(engine: Engine, event: str) -> list[dict]:
    return [line for line in engine.logged() if line["event"] == event]


def test_a_receiver_of_traces_that_is_not_there_costs_one_line(tmp_path: Path) -> None:
    engine = Traced(tmp_path, SLOS)
    engine.traces = f"http://127.0.0.1:{free_port()}"
    engine.start()
    send(engine, [Call(time.time())])
    eventually(lambda: _said(engine, "traces are not taken; they are lost until they are"), 30)
    engine.get("/metrics")
    began = time.monotonic()
    assert engine.stop() == 0
    assert time.monotonic() - began < 25
    lines = engine.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == []
    warned = [line["event"] for line in engine.logged() if line["level"] in ("warning", "error")]
    assert sorted(set(warned)) == sorted(warned)
