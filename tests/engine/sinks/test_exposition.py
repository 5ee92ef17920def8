import gzip
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from engine.service import Service, ServiceConfig
from engine.sinks.board import Board
from engine.sinks.exposition import Exposition, engine_version
from engine.telemetry import metrics
from engine.telemetry.metrics import Series
from slo import CalendarWindow, Objective
from slo.decision import Alert, Decision, SeriesKey, budget_remaining
from slo.durations import format_duration
from slo.rendering import alert_labels
from tests.engine.sinks.boards import (
    DAY,
    NOW,
    WINDOWS,
    alert,
    decision,
    grouped,
    objective,
    shown,
    snapshot,
)
from tests.servers import eventually, prometheus, query

HOSTILE = [
    'say "hi"',
    "line\nfeed",
    "back\\slash",
    "\\n",
    "ünïcode ☃ \U0001f600",
    '{a="b"} 1',
    "\r\t\x00",
]


class Oracle(Collector):
    """The same figures through prometheus_client's own families, one plain loop each."""

    def __init__(
        self,
        objectives: Sequence[Objective],
        decisions: Sequence[Decision],
        alerts: Sequence[Alert],
    ) -> None:
        self.objectives = objectives
        self.alerts = alerts
        self.counts: dict[SeriesKey, dict[object, tuple[int, int]]] = {}
        for d in decisions:
            for row, key in enumerate(d.series):
                cells = self.counts.setdefault(key, {})
                found = {w: (d.bad[row, i], d.total[row, i]) for i, w in enumerate(d.windows)}
                found |= {"period": tuple(d.period[row]), "life": tuple(d.lifetime[row])}
                found |= {"frozen": (d.frozen[row], 0)}
                for name, (bad, total) in found.items():
                    known = cells.get(name, (0, 0))
                    cells[name] = (known[0] + int(bad), known[1] + int(total))
        self.clock = min(d.clock for d in decisions)

    def collect(self) -> Iterator[Metric]:
        fixed = {
            "sloth_version": engine_version(),
            "sloth_mode": "burnline",
            "sloth_spec": "burnline/v1",
        }
        for series, value in (
            (metrics.OBJECTIVE, lambda o: float(o.target)),
            (metrics.ERROR_BUDGET, lambda o: float(1 - o.target)),
            (metrics.TIME_PERIOD, lambda o: o.period / DAY),
        ):
            yield family(series, [(self.user(o), value(o)) for o in self.objectives])
        yield family(
            metrics.INFO,
            [
                (self.user(o) | fixed | {"sloth_objective": f"{float(o.target * 100):g}"}, 1.0)
                for o in self.objectives
            ],
        )
        whole = [
            (o, k)
            for o in self.objectives
            for k in self.counts
            if k.objective == o.id and not (o.by and k.group)
        ]
        groups = [
            (o, k)
            for o in self.objectives
            for k in sorted(self.counts, key=lambda k: k.group or ())
            if k.objective == o.id and o.by and k.group
        ]
        for window in WINDOWS:
            name = format_duration(window)
            samples = [
                (self.user(o) | {"sloth_window": name}, self.ratio(k, window)) for o, k in whole
            ]
            yield family(metrics.error_ratio(name), samples)
        ratios = [
            (ids(o) | self.group(o, k) | {"window": format_duration(w)}, self.ratio(k, w))
            for o, k in groups
            for w in WINDOWS
        ]
        yield family(metrics.GROUP_ERROR_RATIO, ratios)
        yield family(
            metrics.CURRENT_BURN,
            [(self.user(o), self.ratio(k, 300) / float(1 - o.target)) for o, k in whole],
        )
        yield family(
            metrics.PERIOD_BURN,
            [(self.user(o), self.ratio(k, "period") / float(1 - o.target)) for o, k in whole],
        )
        yield family(
            metrics.BUDGET_REMAINING, [(self.user(o), self.remaining(o, k)) for o, k in whole]
        )
        yield family(
            metrics.GROUP_BUDGET_REMAINING,
            [(ids(o) | self.group(o, k), self.remaining(o, k)) for o, k in groups],
        )
        events = []
        for o, k in sorted(
            [(o, k) for o, k in whole if not o.by] + groups,
            key=lambda p: self.objectives.index(p[0]),
        ):
            bad, total = self.counts[k]["life"]
            labels = ids(o) | self.group(o, k)
            events += [
                (labels | {"result": "bad"}, bad),
                (labels | {"result": "good"}, total - bad),
            ]
        yield family(metrics.EVENTS, events)
        yield family(metrics.FROZEN, [(ids(o), self.counts[k]["frozen"][0]) for o, k in whole])
        yield family(metrics.DECIDED, [({}, self.clock)])
        by_id = {o.id: o for o in self.objectives}
        firing = [
            (alert_labels(a, by_id[a.series.objective]) | {"alertstate": "firing"}, 1)
            for a in self.alerts
        ]
        yield family(metrics.ALERTS, firing)

    def user(self, o: Objective) -> dict[str, str]:
        return {n: v for n, v in o.labels.items() if n != "alertname"} | ids(o)

    def group(self, o: Objective, key: SeriesKey) -> dict[str, str]:
        return {n: v for n, v in zip(o.group_labels, key.group or (), strict=True) if v}

    def ratio(self, key: SeriesKey, window: object) -> float:
        bad, total = self.counts[key][window]
        return bad / total if total else 0.0

    def remaining(self, o: Objective, key: SeriesKey) -> float:
        return 1.0 - self.ratio(key, "period") / float(1 - o.target)


def ids(o: Objective) -> dict[str, str]:
    return {"sloth_id": f"{o.service}-{o.name}", "sloth_service": o.service, "sloth_slo": o.name}


def family(series: Series, samples: Iterable[tuple[dict[str, str], float]]) -> Metric:
    made = Metric(series.name, series.help, series.type, series.unit)
    suffix = "_total" if series.type == "counter" else ""
    for labels, value in samples:
        made.add_sample(series.name + suffix, labels, value)
    return made


def compare(
    objectives: Sequence[Objective], decisions: Sequence[Decision], alerts: Sequence[Alert]
) -> None:
    exposition = Exposition()
    oracle = Oracle(objectives, decisions, alerts)
    registry = CollectorRegistry()
    present = [m for m in oracle.collect() if m.samples]
    registry.register(type("Present", (Collector,), {"collect": lambda _self: present})())
    by_id = {o.id: o for o in objectives}
    firing = [shown(a, by_id[a.series.objective]) for a in alerts]
    board = snapshot(decisions, objectives)
    for _ in range(2):  # from the cached layout, too
        plain = exposition.render(board, firing)
        assert plain.decode() == generate_latest(registry).decode()
        om = exposition.render(board, firing, openmetrics=True) + b"# EOF\n"
        # Its default escaping would turn the colons of Sloth's names into underscores.
        assert om.decode() == generate_openmetrics(registry, escaping=ALLOWUTF8).decode()
        assert list(text_string_to_metric_families(om.decode()))


def key(o: Objective, *group: str) -> SeriesKey:
    return SeriesKey(o.id, group, o.generation)


def test_the_text_is_prometheus_clients_byte_for_byte() -> None:
    single = objective(labels={"team": HOSTILE[0], "alertname": "Chosen"})
    groups = grouped(target=Fraction(95, 100), labels={"q": HOSTILE[1]})
    rows = {key(single): (3, 10_000_000), SeriesKey(groups.id, None, groups.generation): (7, 70)}
    rows |= {key(groups, value, "t"): (n, 10 + n) for n, value in enumerate(HOSTILE)}
    rows |= {
        key(groups, "", ""): (0, 0),
        key(groups, "m", ""): (1, 1),
        key(groups, "", "m"): (123_456_789, 123_456_789),
    }
    alerts = [alert(key(single)), alert(key(groups, HOSTILE[2], "t"), severity="ticket")]
    alerts.append(alert(key(single), kind="budget", severity="info", consumed=0.5, short=0, long=0))
    compare([single, groups], [decision(rows)], alerts)


def test_an_overflow_series_of_several_shards_is_one_sample_with_their_sum() -> None:
    groups = grouped()
    overflow = key(groups, "otel.metric.overflow", "otel.metric.overflow")
    decisions = [
        decision(
            {overflow: (n, 10), key(groups, f"m{n}", "t"): (1, 2)}, shard=str(n), clock=NOW + n
        )
        for n in range(3)
    ]
    compare([groups], decisions, [])
    text = Exposition().render(snapshot(decisions, [groups]), []).decode()
    assert text.count('gen_ai_request_model="otel.metric.overflow",result="bad"') == 1
    remaining = [line for line in text.splitlines() if "overflow" in line and "_remaining_" in line]
    assert remaining[0].endswith(" -99.0")  # 3 bad of 30, of a budget of 0.001


counts = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)).map(lambda c: (min(c), max(c)))


@given(
    cells=st.lists(
        st.tuples(st.text(max_size=5), counts), min_size=1, max_size=6, unique_by=lambda c: c[0]
    )
)
def test_any_value_and_label(cells: list[tuple[str, tuple[int, int]]]) -> None:
    groups = grouped()
    cells = [(text.encode("utf-8", "replace").decode(), c) for text, c in cells]
    rows = {key(groups, text, "x"): c for text, c in cells}
    compare([groups], [decision(rows)], [])


def samples(text: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for parsed in text_string_to_metric_families(text.decode() + "# EOF\n"):
        for sample in parsed.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def test_no_traffic_burns_nothing() -> None:
    single = objective()
    text = Exposition().render(
        snapshot([decision({key(single): (0, 0)})], [single]), [], openmetrics=True
    )
    found = samples(text)
    assert {v for n, s in found.items() if n.startswith("slo:sli_error") for _, v in s} == {0.0}
    assert found["slo:current_burn_rate:ratio"][0][1] == 0
    assert found["slo:period_error_budget_remaining:ratio"][0][1] == 1


def test_an_objective_without_series_is_shown_once_the_shards_are_known() -> None:
    seen, unseen, by = objective("seen"), objective("unseen"), grouped("by")
    objectives = (seen, unseen, by)
    exposition = Exposition()
    decisions = (decision({key(seen): (1, 10)}),)
    for settled, expected in ((False, {"seen"}), (True, {"seen", "unseen", "by"})):
        board = snapshot(decisions, objectives, settled=settled)
        found = samples(exposition.render(board, [], openmetrics=True))
        names = {labels["sloth_slo"] for labels, _ in found["slo:period_burn_rate:ratio"]}
        assert names == expected
        # What the files say is shown from the start.
        assert len(found["slo:objective:ratio"]) == 3
    nothing = exposition.render(snapshot((), objectives), [], openmetrics=True)
    assert not samples(nothing).get("ALERTS")


def test_series_of_objectives_that_are_gone_are_left_out() -> None:
    kept, gone = objective("kept"), objective("gone")
    rows = {key(gone): (5, 10), key(kept): (1, 10)}
    text = Exposition().render(snapshot([decision(rows)], [kept], settled=True), [])
    assert b"gone" not in text
    assert b'slo:sli_error:ratio_rate5m{sloth_id="chat-api-kept",' in text


@pytest.mark.parametrize(
    ("window", "name"), [("month", "30d"), ("week", "1w"), ("quarter", "90d"), ("day", "1d")]
)
def test_calendar_periods(window: str, name: str) -> None:
    single = objective(window=CalendarWindow(window, "UTC"))  # type: ignore[arg-type]
    at = decision({key(single): (1, 10)})
    at = replace(at, period=np.array([[1, 4]]))
    found = samples(Exposition().render(snapshot([at], [single]), [], openmetrics=True))
    expected = 0.1 if window == "day" else 0.25  # the rolling day has that name already
    assert [v for _, v in found[f"slo:sli_error:ratio_rate{name}"]] == [expected]
    assert found["slo:period_burn_rate:ratio"][0][1] == pytest.approx(250)
    assert found["slo:time_period:days"][0][1] == single.period / DAY


def test_a_hundred_thousand_lines_are_cheap() -> None:
    groups = grouped()
    rng = np.random.default_rng(1)
    rows = {
        key(groups, f"model-{n % 50}", f"tenant-{n}"): (int(b), int(b) + 1000)
        for n, b in enumerate(rng.integers(0, 1000, 9_500))
    }
    board = snapshot([decision(rows)], [groups])
    exposition = Exposition()
    lines = exposition.render(board, []).count(b"\n")
    assert lines > 100_000
    best = min(_seconds(lambda: exposition.render(board, [])) for _ in range(3))
    assert best < 1.0, "far above the usual 0.1 s"


def _seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


@pytest.fixture
def running() -> Iterator[tuple[Service, Board]]:
    single, by = objective(), grouped(target=Fraction(99, 100))
    board = Board([single, by])
    service = Service.start(
        ServiceConfig(board, otlp_grpc=None, otlp_http=None, listen="127.0.0.1:0")
    )
    rows = {
        key(single): (2, 1000),
        SeriesKey(by.id, None, by.generation): (1, 50),
        key(by, "m1", "t1"): (1, 50),
    }
    board.publish(
        decision(rows, alerts=[alert(key(single)), alert(key(by, "m1", "t1"), severity="ticket")])
    )
    yield service, board
    service.stop()


def fetch(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_the_pages(running: tuple[Service, Board]) -> None:
    service, _board = running
    base = f"http://{service.addresses['listen']}"
    status, headers, body = fetch(f"{base}/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"burnline_slo_events_total{" in body
    assert b"process_cpu_seconds_total" in body
    status, headers, body = fetch(
        f"{base}/metrics",
        Accept="application/openmetrics-text; version=1.0.0",
        Accept_Encoding="gzip",
    )
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert headers["Content-Encoding"] == "gzip"
    text = gzip.decompress(body).decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    assert list(text_string_to_metric_families(text))
    assert fetch(f"{base}/healthz")[0] == 200
    assert fetch(f"{base}/readyz")[0] == 200
    assert fetch(f"{base}/")[0] == 200
    assert fetch(f"{base}/nothing")[0] == 404


def test_not_ready_before_a_live_decision_and_after_silence() -> None:
    single = objective()
    now = [0.0]
    board = Board([single], clock=lambda: now[0])
    service = Service.start(
        ServiceConfig(board, otlp_grpc=None, otlp_http=None, listen="127.0.0.1:0")
    )
    url = f"http://{service.addresses['listen']}/readyz"
    try:
        assert fetch(url)[0] == 503
        board.publish(decision({key(single): (0, 1)}, live=False))
        assert b"not decided yet" in fetch(url)[2]
        board.publish(decision({key(single): (0, 1)}))
        assert fetch(url)[0] == 200
        now[0] += 60
        assert fetch(url)[::2] == (503, b"not ready: the flow last decided 60 s ago\n")
    finally:
        service.stop()


# What Sloth's two public dashboards ask, in words of our own; `%` is one objective's selector.
DASHBOARDS = {
    "count(count by (sloth_service) (slo:objective:ratio))": 1,
    "count(sloth_slo_info)": 2,
    'slo:objective:ratio{sloth_service="chat-api", sloth_slo="availability"}': 0.999,
    "1 - slo:sli_error:ratio_rate30d%": 0.998,
    "max(slo:current_burn_rate:ratio%)": 2.0,
    "max(slo:time_period:days) by (sloth_id)": 30,
    "slo:period_error_budget_remaining:ratio% or on() vector(1)": -1.0,
    "count(slo:current_burn_rate:ratio > 1) or vector(0)": 2,
    'count(ALERTS{sloth_id!="", alertstate="firing", sloth_severity="page"}) or vector(0)': 1,
    'count(ALERTS{sloth_id!="", alertstate="firing", sloth_severity="ticket"}) or vector(0)': 1,
    "slo:sli_error:ratio_rate5m% / on(sloth_id, sloth_slo, sloth_service) "
    "group_left slo:error_budget:ratio": 2.0,
    'count({__name__=~"^slo:sli_error:ratio_rate.*", sloth_id="chat-api-availability"})': 8,
    # The month's burn-down, which asks for 32 d in steps of 1 h: there are only seconds here.
    "1 - (sum_over_time((slo:sli_error:ratio_rate1h% * on() group_left() "
    "(month() == bool month()))[60s:1s]) / on(sloth_id) "
    "(slo:error_budget:ratio * on() group_left() (24 * days_in_month())))": None,
}


@pytest.mark.servers
def test_a_real_prometheus_and_the_queries_of_sloths_dashboards(
    running: tuple[Service, Board], tmp_path: Path
) -> None:
    service, _ = running
    with prometheus(tmp_path, service.addresses["listen"]) as url:
        eventually(lambda: query(url, "sloth_slo_info"), 15)
        for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"):
            found = query(url, f'slo:sli_error:ratio_rate{window}{{sloth_window="{window}"}}')
            assert {labels["sloth_id"]: value for labels, value in found} == {
                "chat-api-availability": 0.002,
                "chat-api-per-model": 0.02,
            }
        for promql, expected in DASHBOARDS.items():
            asked = promql.replace("%", '{sloth_id="chat-api-availability"}')
            found = eventually(partial(query, url, asked))
            if expected is not None:
                assert found[0][1] == pytest.approx(expected), promql
        names = [
            "slo:objective:ratio",
            "slo:error_budget:ratio",
            "slo:time_period:days",
            "slo:current_burn_rate:ratio",
        ]
        names += [
            "slo:period_burn_rate:ratio",
            "slo:period_error_budget_remaining:ratio",
            "sloth_slo_info",
        ]
        for name in names:
            per_id = [labels["sloth_id"] for labels, _ in query(url, name)]
            assert sorted(per_id) == ["chat-api-availability", "chat-api-per-model"], name
        firing = {labels["sloth_severity"]: labels for labels, _ in query(url, "ALERTS")}
        assert firing["ticket"]["gen_ai_request_model"] == "m1"
        assert firing["page"]["alertname"] == "ChatApiAvailabilityBurnRate"
        events = {
            labels["result"]: value
            for labels, value in query(url, 'burnline_slo_events_total{tenant_id="t1"}')
        }
        assert events == {"bad": 10.0, "good": 490.0}
        remaining = query(url, "burnline_slo_error_budget_remaining_ratio")
        assert remaining[0][1] == pytest.approx(budget_remaining(Fraction(99, 100), 1, 50))
