"""Missing traffic: when it alerts, and that clocks, restarts and gaps alone never do."""

import pickle
import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from slo.burn import resolve_tiers
from slo.columns import Field
from slo.decision import SeriesKey
from slo.increments import Point
from slo.messages import Deposit
from slo.model import Absent, CounterSli, Objective, RollingWindow, Slices, SpanSli
from slo.plan import Plan, shard_of, whole
from slo.promql import parse_selector
from slo.rendering import render
from slo.traceql import parse_filter
from slo.windows import Entries
from tests.slo.golden import GOLDEN
from tests.strategies.shards import Shard

START = 1_700_000_000 // 86400 * 86400
AFTER = 900
TARGET = Fraction(999, 1000)
OBJECTIVE = Objective(
    service="chat",
    name="availability",
    target=TARGET,
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
    tiers=resolve_tiers(TARGET, 30 * 86400)[0],
    absent=Absent(AFTER, "page"),
)
GROUPED = replace(OBJECTIVE, by=(Field("span", "model"),), by_names=("span.model",))


class Stream:
    """One objective on one shard, told of each second as the live source does."""

    def __init__(self, objective=OBJECTIVE, **settings):
        self.plan = Plan((objective,), shards=1, **settings)
        self.objective = objective
        self.shard = Shard(self.plan)
        self.clock = float(START)

    def _deposit(self, clock, counts=(), group=(), age=0, *, exact=False):
        self.clock = float(clock)
        keys = [SeriesKey(self.objective.id, group, self.objective.generation)] if counts else []
        if group:
            keys.append(whole(self.objective))
        rows = np.arange(len(keys))
        times = np.full(len(keys), int(clock) - age)
        entries = Entries(rows, times, np.array([counts] * len(keys), np.int64).reshape(-1, 2))
        marks = (self.clock, self.clock)
        return Deposit(
            "0", self.clock, exact=exact, keys=tuple(keys), entries=entries, watermarks=marks
        )

    def send(self, clock, bad=0, total=1, **fields):
        return self.shard.run([self._deposit(clock, (bad, total), **fields)])[-1]

    def tick(self, seconds, step=1):
        """Ticks up to so many seconds on; their decisions."""
        until = self.clock + seconds
        clocks = np.arange(self.clock + step, until + step / 2, step)
        return self.shard.run(self._deposit(clock) for clock in clocks)

    def restart(self, objective=None):
        objective = objective or self.objective
        self.objective = objective
        self.shard = self.shard.restarted(Plan((objective,), shards=1))


def _absent(decision):
    return [a for a in decision.alerts if a.kind == "absent"]


def _first(decisions):
    """The clock of the first decision by which traffic is missing."""
    return next((d.clock for d in decisions if _absent(d)), None)


def test_it_fires_when_the_last_event_is_long_enough_ago_and_ends_with_the_next():
    stream = Stream()
    stream.send(START)
    stream.send(START + 10)
    decisions = stream.tick(AFTER + 100)
    assert _first(decisions) == START + 10 + AFTER
    (alert,) = _absent(decisions[-1])
    assert (alert.starts_at, alert.ends_at, alert.severity) == (START + 10 + AFTER, None, "page")
    assert alert.silence == (START + 10, START + 10, AFTER + 100)
    # The source's silence freezes what burns, not this.
    assert decisions[-1].frozen.tolist() == [False]
    decision = stream.send(stream.clock + 1)
    assert not _absent(decision)
    (ended,) = decision.ended
    assert (ended.kind, ended.starts_at, ended.ends_at) == ("absent", alert.starts_at, stream.clock)
    assert not any(d.ended for d in stream.tick(5))
    # And again, as often as it happens.
    assert _first(stream.tick(AFTER)) == decision.clock + AFTER


def test_a_silent_source_does_not_keep_it_from_firing():
    stream = Stream(stale_after=60)
    stream.send(START)
    clocks = np.arange(START + 1, START + 2 * AFTER)
    decisions = stream.shard.run(
        Deposit("0", float(c), watermarks=(float(START), 0.0)) for c in clocks
    )
    assert decisions[-1].frozen.all()
    assert _first(decisions) == START + AFTER


def test_where_nothing_ever_came_it_fires_too():
    stream = Stream()
    decisions = stream.tick(AFTER + 5)
    assert _first(decisions) == START + 1 + AFTER
    assert _absent(decisions[-1])[0].silence.last == 0


@pytest.mark.parametrize("group", [("m1",), ("",)])
def test_groups_count_together(group):
    stream = Stream(GROUPED)
    for second in range(0, 2 * AFTER, 30):
        model = ("m1",) if second % 60 else group
        assert not _absent(stream.send(START + second, group=model))
    decisions = stream.tick(AFTER)
    (alert,) = _absent(decisions[-1])
    assert alert.series == SeriesKey(GROUPED.id, None, GROUPED.generation)


def test_late_events_are_traffic_and_those_of_no_window_are_not():
    stream = Stream()
    stream.send(START)
    for second in range(30, AFTER, 30):
        stream.send(START + second, age=3600)
    assert not _absent(stream.tick(AFTER - 31)[-1])
    stream = Stream()
    stream.send(START)
    for second in range(30, AFTER, 30):
        stream.send(START + second, age=31 * 86400)
    assert _first(stream.tick(60)) == START + AFTER


def test_bad_counts_alone_and_corrections_are_no_traffic():
    stream = Stream()
    stream.send(START)
    for second in range(30, AFTER, 30):
        stream.send(START + second, bad=1, total=0)
    assert _first(stream.tick(60)) == START + AFTER


def test_slices_hear_each_event_not_only_their_verdicts():
    stream = Stream(replace(OBJECTIVE, slices=Slices(3600, Fraction(9, 10))))
    stream.send(START)
    stream.tick(600)
    stream.send(START + 601)
    assert _first(stream.tick(AFTER + 5)) == START + 601 + AFTER


@pytest.mark.parametrize("objective", [OBJECTIVE, GROUPED])
def test_metric_objectives_listen_where_their_points_go(objective):
    sli = CounterSli(total=parse_selector("all_total"), bad=parse_selector("bad_total"))
    objective = replace(objective, sli=sli)
    plan = Plan((objective,), shards=16)
    points_go_to = shard_of(SeriesKey(objective.id, None, objective.generation), 16)

    def deposit(shard, clock, value=None):
        point = Point(
            objective.id, "total", b"s" * 16, b"f" * 16, ("x",) * len(objective.by), START * 10**9,
            int(clock * 1e9), cumulative=True, value=value or 0,
        )  # fmt: skip
        return Deposit(shard, float(clock), points=(point,) if value is not None else ())

    for name in map(str, range(16)):
        shard = Shard(plan)
        value = 0 if name == points_go_to else None
        shard.run(deposit(name, START + n, value) for n in range(3))
        decisions = shard.run(
            # A counter that stands still is heard of, and counts no events.
            deposit(name, START + n, value and 7)
            for n in range(3, AFTER + 60)
        )
        assert bool(_absent(decisions[-1])) == (name == points_go_to)
        if name == points_go_to:
            decision = shard.run([deposit(name, START + AFTER + 60, 8)])[-1]
            assert not _absent(decision)
            assert [a.kind for a in decision.ended] == ["absent"]


def test_an_engine_that_slept_knows_nothing_of_the_time_between():
    for gap in (61, 3600, 40 * 86400):
        stream = Stream()
        stream.send(START)
        stream.tick(100)
        woke = START + 100 + gap
        assert _first(stream.tick(gap, step=gap)) is None
        assert stream.clock == woke
        assert _first(stream.tick(AFTER + 5)) == woke + AFTER


def test_a_restart_within_a_minute_listens_on_and_a_longer_one_anew():
    for away, expected in ((30, START + AFTER), (90, START + 690 + AFTER)):
        stream = Stream()
        stream.send(START)
        stream.tick(600)
        stream.restart()
        stream.tick(away, step=away)
        assert _first(stream.tick(3 * AFTER)) == expected


@pytest.mark.parametrize("away", [5, 3600])
def test_what_fires_goes_on_over_restarts_and_ends_with_an_event(away):
    stream = Stream()
    stream.send(START)
    (before,) = _absent(stream.tick(AFTER + 10)[-1])
    stream.restart()
    (after,) = _absent(stream.tick(away, step=away)[-1])
    assert (after.starts_at, after.silence.since) == (before.starts_at, START)
    assert not any(d.ended for d in stream.tick(60))
    decision = stream.send(stream.clock + 1)
    assert not _absent(decision)
    assert [a.starts_at for a in decision.ended] == [before.starts_at]


def test_what_began_after_the_last_snapshot_goes_on_too():
    """Killed before a snapshot, and away for long: the book of alerts knows of it."""
    for traffic in (False, True):
        stream = Stream()
        stream.send(START)
        stream.tick(AFTER - 5)
        kept = stream.shard.restarted()
        (told,) = _absent(stream.tick(10)[-1])
        stream.shard = kept.restarted(replace(stream.plan, told=lambda told=told: (told,)))
        if traffic:  # it ended and nobody noted it down
            assert not _absent(stream.send(START + AFTER + 3600))
        else:
            (after,) = _absent(stream.tick(3600, step=3600)[-1])
            assert (after.starts_at, after.silence.since) == (told.starts_at, START)


def test_what_is_watched_anew_begins_anew():
    quiet = replace(OBJECTIVE, absent=None)
    stream = Stream(quiet)
    stream.send(START)
    stream.tick(2 * AFTER, step=30)
    stream.restart(OBJECTIVE)
    begun = stream.clock + 1
    assert _first(stream.tick(2 * AFTER)) == begun + AFTER
    # Another selector is another objective: it has not been heard of, and not been waited for.
    other = replace(OBJECTIVE, sli=replace(OBJECTIVE.sli, bad=parse_filter("{ .x }")))
    stream.restart(other)
    begun = stream.clock + 1
    decisions = stream.tick(2 * AFTER)
    assert _first(decisions) == begun + AFTER
    # Without the key there is no such alert any more, and nothing is kept of it.
    stream.restart(replace(other, absent=None))
    assert not _absent(stream.tick(1)[-1])
    assert not stream.shard.decider.state().absence.firing


def test_a_longer_wait_ends_it_and_another_severity_keeps_its_start():
    stream = Stream()
    stream.send(START)
    (before,) = _absent(stream.tick(AFTER + 10)[-1])
    stream.restart(replace(OBJECTIVE, absent=Absent(AFTER, "ticket")))
    (after,) = _absent(stream.tick(1)[-1])
    assert (after.severity, after.starts_at) == ("ticket", before.starts_at)
    stream.restart(replace(OBJECTIVE, absent=Absent(2 * AFTER, "page")))
    decisions = stream.tick(AFTER)
    assert not _absent(decisions[0])
    assert _first(decisions) == START + 2 * AFTER


def test_it_stands_beside_a_burn_of_the_same_series():
    stream = Stream(stale_after=60)
    stream.send(START, bad=500, total=500)
    clocks = np.arange(START + 1, START + AFTER + 5)
    last = stream.shard.run(Deposit("0", float(c), watermarks=(float(START), 0.0)) for c in clocks)[
        -1
    ]
    pages = [a for a in last.alerts if a.severity == "page"]
    assert {a.kind for a in pages} == {"burn", "absent"}
    (absent,) = _absent(last)
    assert absent.budget_remaining == pytest.approx(-999)
    labels = [render(a, OBJECTIVE).labels for a in pages]
    assert labels[0] != labels[1]


def test_a_recording_shows_what_an_alert_would_have_seen():
    stream = Stream(stale_after=300)

    def arrive(clock, total=0):
        counts = (0, total) if total else ()
        return stream.shard.run([stream._deposit(clock, counts, exact=True)])

    assert not any(d.alerts for d in [*arrive(START, 5), *arrive(START + 600, 5)])
    # Two hours without anything: live, the clock would have gone on.
    decisions = arrive(START + 7800, 5)
    assert _first(decisions) == START + 600 + AFTER + 1
    assert [a.ends_at for a in decisions[-1].ended] == [START + 7800]
    # Other telemetry goes on, and this objective is missing.
    decisions = [d for n in range(1, 120) for d in arrive(START + 7800 + 10 * n)]
    assert _first(decisions) == START + 7800 + AFTER


def test_what_is_told():
    stream = Stream()
    stream.send(START)
    (alert,) = _absent(stream.tick(AFTER + 200)[-1])
    told = render(alert, OBJECTIVE)
    assert told.labels == {
        "alertname": "ChatAvailabilityAbsent",
        "severity": "page",
        "sloth_severity": "page",
        "sloth_id": "chat-availability",
        "sloth_service": "chat",
        "sloth_slo": "availability",
    }
    assert told.annotations["summary"] == "chat availability has had no traffic for 18 min"
    first = "The last event was counted at 2023-11-14 00:00:00 UTC."
    assert told.annotations["description"].startswith(first)
    assert told.annotations["absent_since"] == "2023-11-14 00:00:00 UTC"
    never = replace(alert, silence=alert.silence._replace(last=0.0))
    description = render(never, OBJECTIVE).annotations["description"]
    assert description.startswith("No event has come since it is watched.")
    # A chosen name alone would be the identity of a burn of the same severity.
    named = replace(OBJECTIVE, labels={"alertname": "Mine"})
    assert render(alert, named).labels["alertname"] == "MineAbsent"


def test_snapshots_of_before_there_was_absence_are_read_on():
    """Made by the code of before, with a page that fires."""
    kept = (GOLDEN / "before-absent.pickle.z").read_bytes()
    intake, decider, *levels = pickle.loads(zlib.decompress(kept))  # noqa: S301  our own file
    assert "newest" not in intake
    objective = replace(OBJECTIVE, service="s", name="o")
    plan = Plan((objective,), shards=1)
    shard = Shard(plan)
    shard.intake.restore(intake)
    shard.decider = type(shard.decider)(plan.by_id, plan.windows, plan.stale_after, decider)
    for coarse, level in zip(shard.coarse, levels, strict=True):
        coarse.level = level.fitted(coarse.level.windows, coarse.level.parent)
    # Within the second in which alerts are told as they were.
    (first,) = shard.run([Deposit("0", START + 49.5, watermarks=(START + 49.0, 0.0))])
    assert {a.kind for a in first.alerts} == {"burn", "budget"}
    assert all(a.silence is None for a in first.alerts)
    clocks = range(START + 50, START + 50 + AFTER + 5)
    decisions = shard.run(Deposit("0", float(c), watermarks=(float(c), 0.0)) for c in clocks)
    assert _first(decisions) == START + 50 + AFTER
    shard.restarted().run([Deposit("0", START + 1000.0)])
