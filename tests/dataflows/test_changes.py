"""The flow on Bytewax, stopped and gone on with: other SLO files, and a backlog."""

from dataclasses import replace
from fractions import Fraction

import pytest
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.flow import build
from engine.columns.measure import Measurer
from engine.sinks.publish import Publish
from engine.spool.arrivals import Arrivals
from slo.burn import resolve_tiers
from slo.columns import Field
from slo.model import CalendarWindow, Objective, RollingWindow, SpanSli
from slo.plan import Plan
from slo.traceql import parse_filter

START = 1_700_000_000
TARGET = Fraction(999, 1000)
MONTH = Objective(
    service="s",
    name="month",
    target=TARGET,
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
    tiers=resolve_tiers(TARGET, 30 * 86400)[0],
    evidence=None,
)
WEEK = replace(MONTH, name="week", window=RollingWindow(7 * 86400))
DAY = replace(MONTH, name="day", window=CalendarWindow("day", "Europe/Berlin"))
SHORT = replace(MONTH, tiers=resolve_tiers(TARGET, 30 * 86400)[0][:1])
EXPLAINED = replace(MONTH, explain=(Field("span", "model"),))
TENANTS = replace(MONTH, name="tenants", by=(Field("span", "tenant"),))


def _arrivals(second, spans=10, *, error=True):
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(spans):
        span = scope.spans.add(end_time_unix_nano=(START + second) * 10**9)
        span.status.code = 2 if error else 0
    clock = float(START + second)
    traces = (request.SerializeToString(),) if spans else ()
    return Arrivals(clock=clock, traces=traces, tick=True, watermarks=(clock, clock))


def _run(objectives, items, recovery, batch_size=1, *, spread=False):
    plan = Plan(tuple(objectives), shards=2)
    decisions = []
    flow = build(
        plan,
        TestingSource(items, batch_size=batch_size),
        Publish(lambda: decisions.append),
        lambda: Measurer(plan.objectives, plan.shards, plan.skew),
        spread=spread,
    )
    run_main(flow, recovery_config=RecoveryConfig(recovery))
    return decisions


def _totals(decisions, objective, window):
    last = {decision.shard: decision for decision in decisions}
    return [
        int(decision.total[row, decision.windows.index(window)])
        for decision in last.values()
        for row, key in enumerate(decision.series)
        if key.objective == objective.id and key.group is not None
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([MONTH, WEEK, DAY], [MONTH]),
        ([MONTH], [WEEK, DAY, MONTH]),
        ([MONTH, WEEK], [DAY, SHORT]),
        ([MONTH], [EXPLAINED]),
        ([EXPLAINED, DAY], [WEEK, TENANTS, MONTH]),
    ],
)
def test_slo_files_may_change_while_the_engine_is_stopped(tmp_path, before, after):
    init_db_dir(tmp_path, 1)
    items = [_arrivals(60 * i) for i in range(200)] + [TestingSource.EOF()]
    _run(before, items, tmp_path)
    items += [_arrivals(60 * 200 + i) for i in range(5)]
    decisions = _run(after, items, tmp_path)
    assert _totals(decisions, MONTH, 30 * 86400) == [10 * 205]
    assert _totals(decisions, MONTH, 300) == [10 * (5 + 4)]
    pages = {a.series.objective for d in decisions for a in d.alerts if a.severity == "page"}
    assert pages >= {MONTH.id}


def test_a_backlog_is_decided_on_second_by_second(tmp_path):
    """A page that came and went while we were away is told, with the moments that it would have had."""
    items = [_arrivals(i, error=i < 5) for i in range(2000)]
    told = []
    for batch_size in (1, 256):
        recovery = tmp_path / str(batch_size)
        recovery.mkdir()
        init_db_dir(recovery, 1)
        decisions = _run([MONTH], items, recovery, batch_size)
        told.append([(d.shard, d.clock, d.alerts, d.ended) for d in decisions])
    one, many = (sorted(each, key=lambda d: d[:2]) for each in told)
    assert many == one
    assert any(ended for *_, ended in one)


def test_a_live_tick_does_not_overtake_what_is_replayed_before_it(tmp_path):
    """It would end the alert that fired before the restart, and which fires on with the next payload."""
    replayed = [replace(_arrivals(i), tick=False, live=False) for i in range(20)]
    tick = Arrivals(clock=START + 20.0, tick=True, watermarks=(START + 19.0, 0.0))
    items = [*replayed, tick, _arrivals(21)]
    for batch_size in (1, 3, len(items)):
        recovery = tmp_path / str(batch_size)
        recovery.mkdir()
        init_db_dir(recovery, 1)
        decisions = _run([MONTH], items, recovery, batch_size, spread=True)
        live = [d for d in decisions if d.live and d.series]
        assert live
        assert all(int(d.total[0, -1]) in (200, 210) for d in live)
        assert all(d.alerts for d in live)
