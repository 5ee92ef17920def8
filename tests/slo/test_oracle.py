"""The oracle table of the burn-rate arithmetic: 1,000 requests a minute, 0.02 % base errors, 99.9 %/30 d."""

from fractions import Fraction

import numpy as np
import pytest

from slo.decision import SeriesKey
from slo.messages import Deposit
from slo.model import Objective, RollingWindow, SpanSli, Tier
from slo.plan import Plan
from slo.traceql import parse_filter
from slo.windows import Entries
from tests.strategies.shards import Shard

MINUTE, HOUR, DAY = 60, 3600, 86400
START = 1_700_000_000 // DAY * DAY
HISTORY = 4 * DAY
TARGET = Fraction(999, 1000)


def _tier(severity, short, long, share):
    factor = Fraction(share, 100) * 30 * DAY / long
    return Tier(severity, short, long, Fraction(share, 100), factor, factor * (1 - TARGET))


TIERS = (
    _tier("page", 5 * MINUTE, HOUR, 2),
    _tier("page", 30 * MINUTE, 6 * HOUR, 5),
    _tier("ticket", 2 * HOUR, DAY, 10),
    _tier("ticket", 6 * HOUR, 3 * DAY, 10),
)


def _objective(evidence):
    return Objective(
        service="chat",
        name="availability",
        target=TARGET,
        window=RollingWindow(30 * DAY),
        sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
        tiers=TIERS,
        evidence=evidence,
    )


def _deposit(clock, times, bad, key):
    counts = np.stack([np.asarray(bad), np.full(len(times), 1000)], axis=1)
    return Deposit(
        shard="0",
        clock=float(clock),
        exact=True,
        keys=(key,),
        entries=Entries(np.zeros(len(times), np.int64), np.asarray(times, np.int64), counts),
        watermarks=(float(clock), 0.0),
    )


def _base(times):
    return [int(time % (5 * MINUTE) == 0) for time in times]


def _run(evidence, ratio, minutes, after):
    """Minutes after the start (or end) of the errors at which each severity starts (and ends)."""
    objective = _objective(evidence)
    shard = Shard(Plan((objective,), shards=1))
    key = SeriesKey(objective.id, (), objective.generation)
    history = np.arange(START - HISTORY, START + 1, MINUTE)
    decisions = shard.run([_deposit(START, history, _base(history), key)])
    for minute in range(1, minutes + after + 1):
        clock = START + minute * MINUTE
        bad = [round(1000 * ratio)] if minute <= minutes else _base([clock])
        decisions += shard.run([_deposit(clock, [clock], bad, key)])
    found = {}
    for decision in decisions:
        for alert in (*decision.alerts, *decision.ended):
            if alert.kind == "burn":
                ended = alert.ends_at and (alert.ends_at - START) / MINUTE - minutes
                starts = (alert.starts_at - START) / MINUTE
                found.setdefault(alert.severity, []).append((starts, ended))
    return {severity: (alerts[0][0], alerts[-1][1]) for severity, alerts in found.items()}


# errors, minutes, page start, page end after the errors, ticket start; then starts with evidence.
TABLE = [
    (1.0, 10, 1, 29, 4, 1, 4),
    (0.15, 10, 6, 4, None, 7, None),
    (0.02, 3 * 60, 44, 21, 175, 46, None),
    (0.005, 2 * 24 * 60, None, None, 720, None, 12 * 60 + 23),
    (0.003, 15, None, None, None, None, None),
]


@pytest.mark.parametrize(("ratio", "minutes", "page", "end", "ticket", "_p", "_t"), TABLE)
def test_without_evidence(ratio, minutes, page, end, ticket, _p, _t):
    found = _run(None, ratio, minutes, 35)
    _starts(found, page, ticket)
    if page:
        # The last minute at which it still fires; it is over within a minute and a bucket (30 s).
        assert 0 < found["page"][1] - end <= 1.5


@pytest.mark.parametrize(("ratio", "minutes", "_p", "_e", "_t", "page", "ticket"), TABLE)
def test_with_the_default_evidence(ratio, minutes, _p, _e, _t, page, ticket):
    _starts(_run(0.95, ratio, minutes, 60), page, ticket)


def _starts(found, page, ticket):
    assert set(found) == {name for name, at in (("page", page), ("ticket", ticket)) if at}
    if page:
        assert abs(found["page"][0] - page) * MINUTE <= 10
    if ticket:
        # One bucket of the long window: 15 min of 1 d and 3 d.
        assert abs(found["ticket"][0] - ticket) <= 15
