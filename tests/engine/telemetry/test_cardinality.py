"""An attribute with any number of values: bounded series, exact totals, a warning, no pile of names."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from engine.columns import _places
from engine.columns.measure import Measurer
from engine.spool.arrivals import Arrivals
from engine.telemetry.cardinality import Cardinality
from engine.telemetry.metrics import EngineMetrics
from slo import explain
from slo.admitted import Admitted
from slo.columns import Field
from slo.decision import OVERFLOW, SeriesKey
from slo.model import CounterSli
from slo.plan import Plan
from slo.promql import parse_selector
from tests.engine.sinks.boards import decision, objective
from tests.strategies.shards import Shard

START = 1_700_000_000
TENANT, MODEL = Field("span", "tenant.id"), Field("span", "gen_ai.request.model")
CROWD = objective(
    "crowd", by=(TENANT,), by_names=("span.tenant.id",), explain=(MODEL, TENANT), evidence=None
)
Call = tuple[str, str, bool]


class Flow:
    """Measurer and shards, chained by plain calls."""

    def __init__(self, plan: Plan, *, knowing: bool = True) -> None:
        self.plan = plan
        self.overflowed = 0
        self.measurer = Measurer(
            plan.objectives,
            plan.shards,
            plan.skew,
            overflowed=self._overflowed,
            admitted=plan.admitted if knowing else Admitted(),
        )
        self.shards = {name: Shard(plan) for name in self.measurer.shards}
        self.last = {}
        self.sent = 0

    def _overflowed(self, points: int) -> None:
        self.overflowed += points

    def take(self, clock: int, **payloads: tuple[bytes, ...]) -> None:
        marks = (float(clock), float(clock))
        arrivals = Arrivals(float(clock), tick=True, watermarks=marks, **payloads)
        self.sent = 0
        for name, deposit in self.measurer.measure(arrivals):
            self.sent += len(deposit.keys)
            for each in self.shards[name].take(deposit):
                self.last[name] = each

    def lifetimes(self) -> dict[SeriesKey, tuple[int, int]]:
        found: dict[SeriesKey, Counter[str]] = {}
        for each in self.last.values():
            for key, (bad, total) in zip(each.series, each.lifetime.tolist(), strict=True):
                found.setdefault(key, Counter()).update(bad=bad, total=total)
        return {key: (count["bad"], count["total"]) for key, count in found.items()}


def _payload(clock: int, calls: list[Call]) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, (tenant, model, bad) in enumerate(calls):
        values = {"tenant.id": tenant, "gen_ai.request.model": model}
        spans.append(
            Span(
                trace_id=(clock * 100_000 + number).to_bytes(16, "big"),
                end_time_unix_nano=clock * 10**9,
                status=Status(code=Status.STATUS_CODE_ERROR if bad else 0),
                attributes=[
                    KeyValue(key=key, value=AnyValue(string_value=value))
                    for key, value in values.items()
                ],
            )
        )
    return request.SerializeToString()


def _crowd(first: int, number: int) -> list[Call]:
    return [(f"t{n}", f"m{n % 4}", n % 4 == 1 and n % 3 == 0) for n in range(first, first + number)]


def test_series_are_bounded_and_the_total_is_exact() -> None:
    flow = Flow(Plan((CROWD,), series_limit=100))
    regulars = [("t7", "m3", False)]
    batch, batches = 2_000, 15
    for n in range(batches):
        flow.take(START + n, traces=(_payload(START + n, _crowd(n * batch, batch) + regulars),))
    found = flow.lifetimes()
    total = batch * batches + batches
    bad = sum(call[2] for call in _crowd(0, batch * batches))
    everything = SeriesKey(CROWD.id, None, CROWD.generation)
    shared = SeriesKey(CROWD.id, (OVERFLOW,), CROWD.generation)
    assert found[everything] == (bad, total)
    own = {key: counts for key, counts in found.items() if key not in (everything, shared)}
    assert 100 <= len(own) <= flow.plan.limit(CROWD)
    summed = np.sum([*own.values(), found[shared]], axis=0)
    assert tuple(summed) == (bad, total)
    assert found[SeriesKey(CROWD.id, ("t7",), CROWD.generation)] == (0, batches + 1)
    # What is refused by name anyway is not sent by name.
    assert flow.sent <= len(own) + len(flow.shards) + 1
    # What the rest has in common is told: the model, of which its many tenants leave nothing over.
    best = [
        slices[0]
        for shard in flow.shards.values()
        for key, explainer in shard.decider.explainers.items()
        if key == shared
        and (slices := explainer.explain(START + batches, ("model", "tenant")).slices)
    ]
    assert len(best) == len(flow.shards)
    assert all(found.values == (("model", "m1"),) for found in best)


@pytest.mark.parametrize("seed", range(3))
def test_the_short_cut_changes_nothing(seed: int) -> None:
    """With what shards are known to refuse and without, over a restart: the same decisions."""
    flows = [Flow(Plan((CROWD,), shards=4, series_limit=20), knowing=k) for k in (True, False)]
    rng = random.Random(seed)
    for n in range(40):
        calls = [
            (f"t{min(int(rng.paretovariate(0.6)), 10**6)}", f"m{rng.randrange(4)}", flip < 0.2)
            for flip in (rng.random() for _ in range(rng.randrange(120)))
        ]
        payload = _payload(START + n, calls)
        for flow in flows:
            flow.take(START + n, traces=(payload,))
        if n == 20:
            for flow in flows:
                again = Flow(flow.plan, knowing=flow is flows[0])
                plan = replace(flow.plan, admitted=Admitted())
                again.measurer = Measurer((CROWD,), 4, 30.0, admitted=plan.admitted)
                if flow is flows[1]:
                    again.measurer = Measurer((CROWD,), 4, 30.0)
                again.shards = {k: s.restarted(plan) for k, s in flow.shards.items()}
                flows[flows.index(flow)] = again
        for name in flows[0].last:
            one, other = (flow.last[name] for flow in flows)
            assert one.series == other.series
            for what in ("bad", "total", "period", "lifetime"):
                assert np.array_equal(getattr(one, what), getattr(other, what))
            assert one.alerts == other.alerts
    assert flows[0].sent < flows[1].sent
    knowing, ignorant = (
        {k: e for s in flow.shards.values() for k, e in s.decider.explainers.items()}
        for flow in flows
    )
    assert knowing == ignorant


def test_places_are_remembered_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_places, "REMEMBERED", 50)
    places = _places.Places(4, Admitted())
    for n in range(1000):
        assert places.of(SeriesKey("o", (str(n),), "g")).key.group == (str(n),)
        assert len(places) <= 50


def test_combinations_are_bounded_for_all_series_of_a_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slo.decider.COMBINATIONS_PER_SHARD", 300)
    flow = Flow(Plan((replace(CROWD, explain=(MODEL,)),), shards=1))
    for n in range(10):
        calls = [(f"t{i}", f"m{n}-{j}", j == 0) for i in range(40) for j in range(10)]
        flow.take(START + n, traces=(_payload(START + n, calls),))
    (shard,) = flow.shards.values()
    explainers = shard.decider.explainers.values()
    # Beyond the bound each series has its rest, which is one more.
    assert 300 <= sum(map(len, explainers)) <= 300 + 40
    counted = [c for e in explainers for slot in e.slots for c in slot.counts.values()]
    assert np.sum(counted, axis=0).tolist() == [400, 4000]
    # An hour later they are forgotten, and there is room again.
    for later in (5000, 5001):
        payload = _payload(START + later, [("t1", "fresh", True)])
        flow.take(START + later, traces=(payload,))
    assert ("fresh",) in next(iter(shard.decider.explainers.values())).slots[-1].counts
    assert explain.COMBINATIONS_PER_SHARD == 10_000


COUNTED = objective(
    "counted",
    sli=CounterSli(parse_selector("calls_total"), bad=parse_selector('calls_total{ok="no"}')),
    by=(Field("span", "tenant"),),
    by_names=("tenant",),
)


def _points(clock: int, tenants: range, *, overflow: int = 0) -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="calls")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    keys = [("tenant", f"t{n}") for n in tenants] + [(OVERFLOW, "true")] * overflow
    for key, value in keys:
        point = metric.sum.data_points.add(
            start_time_unix_nano=(clock - 1) * 10**9, time_unix_nano=clock * 10**9, as_int=1
        )
        point.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def test_counters_with_any_number_of_attribute_sets() -> None:
    flow = Flow(Plan((COUNTED,), series_limit=50))
    for shard in flow.shards.values():
        shard.intake.increments._max = 300
    for n in range(5):
        payload = _points(START + n, range(n * 200, n * 200 + 200), overflow=2)
        flow.take(START + n, metrics=(payload,))
    found = flow.lifetimes()
    assert found[SeriesKey(COUNTED.id, None, COUNTED.generation)] == (0, 5 * 201)
    groups = {key: count for key, count in found.items() if key.group is not None}
    assert len(groups) == 50 + 1
    assert sum(total for _, total in groups.values()) == 5 * 201
    # The writer's own overflow is a group without a value, and told.
    assert flow.overflowed == 10
    assert sum(d.streams for d in flow.last.values()) == 300
    assert sum(d.points.get("evicted", 0) for d in flow.last.values()) == 5 * 200 + 1 - 300


# Shown and told


def _key(group: str, slo=CROWD) -> SeriesKey:
    return SeriesKey(slo.id, (group,), slo.generation)


def test_each_slo_shows_its_series_and_warns_once(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = EngineMetrics()
    two = replace(CROWD, name="two", by=(MODEL, TENANT), by_names=("span.model", "span.tenant.id"))
    plain = objective("plain")
    objectives = {o.id: o for o in (CROWD, two, plain)}
    watch = Cardinality(metrics, lambda: objectives, Plan(tuple(objectives.values())).limit)

    def shown(name: str, slo) -> float | None:
        labels = {"sloth_id": slo.id, "sloth_service": slo.service, "sloth_slo": slo.name}
        return metrics.registry.get_sample_value(name, labels)

    def seen(shard: str, *keys: SeriesKey, live: bool = True) -> None:
        watch.take(decision(dict.fromkeys(keys, (0, 1)), shard=shard, live=live))

    seen("0", *(SeriesKey(two.id, ("m", f"t{n}"), two.generation) for n in range(5)), live=False)
    assert shown("burnline_slo_series", two) is None
    first = [SeriesKey(two.id, None, two.generation), SeriesKey(plain.id, (), plain.generation)]
    first += [SeriesKey(two.id, ("m", f"t{n}"), two.generation) for n in range(5)]
    seen("0", *first)
    seen("1", _key("a"), _key("b"))
    assert [shown("burnline_slo_series", o) for o in objectives.values()] == [2, 5, 1]
    assert [shown("burnline_slo_series_limit", o) for o in objectives.values()] == [11600] * 3
    assert [shown("burnline_slo_overflowing", o) for o in objectives.values()] == [0, 0, 0]
    assert "limit of series" not in capsys.readouterr().out
    over = SeriesKey(two.id, (OVERFLOW,) * 2, two.generation)
    seen("0", *first, over)
    seen("1", _key("a"), _key("b"), over)
    assert [shown("burnline_slo_series", o) for o in objectives.values()] == [2, 5, 1]
    assert [shown("burnline_slo_overflowing", o) for o in objectives.values()] == [0, 1, 0]
    told = capsys.readouterr().out
    assert told.count("limit of series") == 1
    assert "'span.tenant.id': 5" in told
    # The flow is started anew, without one of them.
    del objectives[two.id]
    seen("0", SeriesKey(plain.id, (), plain.generation))
    seen("1", _key("a"), _key("b"), _key("c"))
    assert [shown("burnline_slo_series", o) for o in (CROWD, plain)] == [3, 1]
    assert shown("burnline_slo_series", two) is None
    assert shown("burnline_slo_overflowing", CROWD) == 0
