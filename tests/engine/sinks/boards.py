"""Objectives and decisions made by hand, for the tests of what shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from engine.sinks.board import Snapshot
from engine.sinks.shown import Shown, labels_of
from slo import Objective, RollingWindow, SpanSli, parse_filter
from slo.columns import Field
from slo.decision import Alert, Decision, SeriesKey, SliceCount
from slo.plan import SLOTH_WINDOWS

DAY = 86400
WINDOWS = (*SLOTH_WINDOWS, 30 * DAY)
NOW = 1_790_000_000.0


def objective(name: str = "availability", **changes: Any) -> Objective:
    base = Objective(
        service="chat-api",
        name=name,
        target=Fraction(999, 1000),
        window=RollingWindow(30 * DAY),
        sli=SpanSli(parse_filter("{ true }"), bad=parse_filter("{ status = error }")),
        labels={"team": "llm"},
    )
    return replace(base, **changes)


def grouped(name: str = "per-model", **changes: Any) -> Objective:
    fields = (Field("span", "gen_ai.request.model"), Field("span", "tenant.id"))
    return objective(name, by=fields, by_names=tuple(str(f) for f in fields), **changes)


def decision(
    rows: Mapping[SeriesKey, tuple[int, int]],
    *,
    shard: str = "0",
    clock: float = NOW,
    live: bool = True,
    alerts: Sequence[Alert] = (),
    ended: Sequence[Alert] = (),
    windows: tuple[int, ...] = WINDOWS,
) -> Decision:
    """A decision: every window of a series holds (bad, total) times the window's number."""
    counts = np.array(list(rows.values()), np.int64).reshape(len(rows), 2)
    times = np.arange(1, len(windows) + 1)
    return Decision(
        shard=shard,
        clock=clock,
        live=live,
        windows=windows,
        series=tuple(rows),
        bad=counts[:, :1] * times,
        total=counts[:, 1:] * times,
        period=counts * len(windows),
        lifetime=counts * 10,
        frozen=np.zeros(len(rows), np.bool_),
        alerts=tuple(alerts),
        ended=tuple(ended),
        watermarks=(clock, 0.0),
    )


def alert(key: SeriesKey, **changes: Any) -> Alert:
    base = Alert(
        series=key,
        kind="burn",
        severity="page",
        starts_at=NOW,
        ends_at=None,
        short=300,
        long=3600,
        burn_short=50.0,
        burn_long=20.0,
        factor=14.4,
        budget_remaining=0.4,
        exhausted_in=7200.0,
        slices=(SliceCount((("span.gen_ai.request.model", "m1"),), 9, 10, 9.0),),
        errors=(("timeout", 9),),
        trace_ids=("ab" * 16,),
    )
    return replace(base, **changes)


def shown(alert: Alert, objective: Objective) -> Shown:
    return Shown(alert, objective, labels_of(alert, objective))


def snapshot(
    decisions: Sequence[Decision], objectives: Sequence[Objective], *, settled: bool = False
) -> Snapshot:
    return Snapshot(tuple(decisions), settled, {o.id: o for o in objectives})
