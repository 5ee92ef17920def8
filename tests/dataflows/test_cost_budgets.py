"""Cost budgets through the whole flow: spans in, alerts and series out."""

import math

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from rich.console import Console

import slo
from dataflows.backtest import run
from dataflows.reporting import as_json, print_report
from engine.columns.measure import Measurer
from engine.recordings.files import Recorded
from engine.sinks.board import Board
from engine.sinks.exposition import Exposition
from engine.sinks.shown import Labels
from engine.spool.arrivals import Arrivals
from slo.decision import SeriesKey
from slo.messages import Deposit
from slo.plan import Plan
from slo.windows import Entries
from tests.strategies.shards import Shard

START = 1_788_220_800  # 2026-09-01 in UTC
SECOND = 10**9
BUDGETS = """
apiVersion: burnline/v1
kind: CostBudget
service: chat-api
labels: {team: llm}
budgets:
  - name: daily
    dollars: 10
    per: day
  - name: tenants
    dollars: 5
    per: day
    by: [span.tenant.id]
    overrides: {zen: 50}
    warn: [100]
"""


def _span(spans, at, cost, tenant="acme", *, call=True, service_call=b"\1" * 16, model="m1"):
    span = spans.add(trace_id=service_call, end_time_unix_nano=int(at * SECOND))
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "tenant.id": tenant,
    }
    for key, value in attributes.items():
        span.attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
    span.attributes.append(KeyValue(key="burnline.call", value=AnyValue(bool_value=call)))
    if isinstance(cost, str):
        value = AnyValue(string_value=cost)
    elif isinstance(cost, int):
        value = AnyValue(int_value=cost)
    else:
        value = AnyValue(double_value=cost or 0.0)
    if cost is not None:
        span.attributes.append(KeyValue(key="burnline.cost.usd", value=value))


def _request(at, *costs, service="chat-api", **rest):
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(
        KeyValue(key="service.name", value=AnyValue(string_value=service))
    )
    spans = resource.scope_spans.add().spans
    for cost in costs:
        _span(spans, at, cost, **rest)
    return Recorded("traces", request.SerializeToString(), int(at * SECOND), "here")


def _objectives():
    loaded = slo.load({"f": BUDGETS})
    assert not loaded.problems
    return loaded.objectives


def test_a_recording_says_what_was_spent_and_who_was_told():
    objectives = _objectives()
    recorded = [
        _request(START + 60, 1.0, 0.1, 0.2, None, None),
        _request(START + 120, 3, "1.5", tenant="zen"),
        _request(START + 180, 99.0, service="other"),
        _request(START + 181, 99.0, call=False),
        _request(START + 200, -1.0, math.nan, math.inf, 1e7, "much"),
        _request(START + 240, 2.2, 0.123456789),
        _request(START + 300, 5.0, model="m2"),
        _request(START + 86400 + 60, 0.5),
    ]
    report = run(objectives, recorded)
    by = {o.id: o for o in objectives}
    told = as_json(report, by)
    assert [
        (
            a["budget"],
            a["kind"],
            a["group"],
            a["severity"],
            a["consumed"],
            a["starts_at"],
            a["spent"],
        )
        for a in told["cost_alerts"]
        if a["kind"] == "spent"
    ] == [
        ("daily", "spent", {}, "ticket", 0.8, "2026-09-01T00:04:00.000Z", 8.123456789),
        ("daily", "spent", {}, "page", 1.0, "2026-09-01T00:05:00.000Z", 13.123456789),
        (
            "tenants",
            "spent",
            {"span.tenant.id": "acme"},
            "page",
            1.0,
            "2026-09-01T00:05:00.000Z",
            8.623456789,
        ),
    ]
    assert told["alerts"] == told["budget_events"] == told["objectives"] == []
    assert report.apart["cost"] == 5
    (total,) = (b for b in told["budgets"] if b["budget"] == "daily")
    assert total == {
        "budget": "daily", "service": "chat-api", "group": {}, "period": "day", "dollars": 10.0,
        "spent": 0.5, "calls": 1, "unpriced": 0, "refused": 0, "forecast": total["forecast"],
    }  # fmt: skip
    tenants = {b["group"]["span.tenant.id"]: b for b in told["budgets"] if b["group"]}
    assert {name: b["dollars"] for name, b in tenants.items()} == {"acme": 5.0, "zen": 50.0}
    assert tenants["zen"]["spent"] == 0.0


def test_the_report_for_people_names_budgets(capsys):
    objectives = _objectives()
    report = run(objectives, [_request(START + 60, 11.0, None)])
    console = Console(width=120, force_terminal=False)
    print_report(report, {o.id: o for o in objectives}, console)
    said = capsys.readouterr().out
    assert "chat-api-daily: 2026-09-01 00:01:00Z still firing" in said
    assert "100 % of the budget is spent: $11.00 of $10.00" in said
    assert "Objectives" not in said
    assert "Cost budgets" in said


def test_only_calls_of_the_service_without_a_price_are_counted_beside():
    objectives = _objectives()
    report = run(
        objectives,
        [
            _request(START + 1, 1.0, None, None, -1.0),
            _request(START + 1, None, service="other"),
        ],
    )
    (daily,) = (b for b in report.budgets if b.key.objective == "chat-api-daily")
    assert (daily.spent, daily.calls, daily.unpriced, daily.refused) == (SECOND, 4, 2, 1)


def _metrics(board):
    text = Exposition().render(board.snapshot(), board.active_alerts()).decode()
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


def test_series_say_budget_spent_burn_and_forecast_and_nothing_of_sloth():
    objectives = _objectives()
    board = Board(objectives, wall=lambda: START + 7200.0)
    measurer = Measurer(objectives, 1, 30.0)
    shard = Shard(Plan(objectives, shards=1))
    for minute in range(120):
        at = START + 60 * minute
        arrivals = Arrivals(
            clock=float(at), traces=(_request(at, 0.1).body,), watermarks=(float(at), 0.0)
        )
        for _, deposit in measurer.measure(arrivals):
            for decision in shard.take(deposit):
                board.publish(decision)
    found = _metrics(board)
    labels = (
        'budget="daily",burnline_id="chat-api-daily",period="day",service="chat-api",team="llm"'
    )
    assert not [name for name in found if name.startswith("slo") and "decided" not in name]
    assert float(found[f"burnline_cost_budget_dollars{{{labels}}}"]) == 10
    assert float(found[f"burnline_cost_spent_dollars{{{labels}}}"]) == pytest.approx(12)
    assert float(found[f"burnline_cost_budget_remaining_ratio{{{labels}}}"]) == pytest.approx(-0.2)
    assert float(found[f"burnline_cost_calls{{{labels}}}"]) == 120
    assert float(found[f"burnline_cost_forecast_dollars{{{labels}}}"]) == pytest.approx(144, abs=3)
    burn = f'burnline_cost_burn_rate{{{labels},window="1h"}}'
    assert float(found[burn]) == pytest.approx(6 / (10 / 24), rel=0.03)
    acme = [n for n in found if 'tenant_id="acme"' in n and n.startswith("burnline_cost_spent")]
    assert len(acme) == 1
    # The sum over all tenants has no budget, and so no series.
    assert len([n for n in found if n.startswith("burnline_cost_spent_dollars")]) == 2


def test_an_alert_of_another_period_is_another_alert_on_the_board_after_a_restart(tmp_path):
    """The engine was away while the period changed, and is at once over the level again."""
    (objective, _) = _objectives()
    key = SeriesKey(objective.id, (), objective.generation)
    book = tmp_path / "alerts.json"
    board = Board([objective], book, wall=lambda: START + 10.0)
    shard = Shard(Plan((objective,), shards=1))

    def deposit(at):
        entries = Entries(np.array([0]), np.array([at]), np.array([[20 * SECOND, 1]]))
        return Deposit("0", float(at), keys=(key,), entries=entries, watermarks=(float(at), 0.0))

    for decision in shard.take(deposit(START + 5)):
        board.publish(decision)
    before = {s.labels for s in board.active_alerts() if s.alert.kind == "spent"}
    told = tuple(s.alert for s in board.active_alerts())

    at = START + 86400 + 5
    board = Board([objective], book, wall=lambda: at + 1.0)
    assert {s.labels for s in board.active_alerts() if s.alert.kind == "spent"} == before
    changes: list[tuple[str, Labels]] = []
    board.subscribe(
        lambda change: changes.extend(
            [("ended", s.labels) for s in change.ended]
            + [("fired", s.labels) for s in change.fired]
        )
    )
    shard = shard.restarted(Plan((objective,), shards=1, told=lambda: told))
    for decision in shard.take(deposit(at)):
        board.publish(decision)
    after = {s.labels for s in board.active_alerts() if s.alert.kind == "spent"}
    assert len(before) == len(after) == 1
    assert before != after
    assert {labels for what, labels in changes if what == "ended"} >= before
    assert {labels for what, labels in changes if what == "fired"} >= after
