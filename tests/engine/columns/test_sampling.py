"""From payloads to readings, against one event at a time."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.columns import sampling
from engine.spool.arrivals import Arrivals
from slo.anomalies.sketch import RELATIVE_ERROR
from tests.strategies.watched import (
    BATCHES,
    BEGIN,
    Event,
    Gathered,
    arrivals,
    by_hand,
    clock_of,
    payload,
    rows,
)

LENIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)


def _assert_same(found, expected):
    assert found.keys() == expected.keys()
    for row, (value, count) in expected.items():
        tolerance = RELATIVE_ERROR * 1.0001 if row[2].startswith("p") else 1e-9
        assert found[row] == (pytest.approx(value, rel=tolerance, abs=1e-6), count), row


@pytest.mark.parametrize("cells", [sampling.DENSE_CELLS, 0], ids=["dense", "sparse"])
@LENIENT
@given(batches=BATCHES)
def test_readings_equal_those_by_hand(cells, batches):
    gathered = Gathered()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "DENSE_CELLS", cells)
        for arrived in arrivals(batches):
            gathered.take(arrived)
    expected, apart = by_hand(batches)
    _assert_same(rows(gathered.readings), expected)
    told = gathered.unjudged["late"] + gathered.unjudged["before_start"]
    assert told == apart
    for one, other in zip(gathered.readings, gathered.readings[1:], strict=False):
        if (one.shard, one.every) == (other.shard, other.every):
            assert other.at - one.at == one.every


@LENIENT
@given(batches=BATCHES, seed=st.integers(0, 2**32))
def test_any_split_over_payloads_and_workers_gives_the_same(batches, seed):
    whole, split = Gathered(), Gathered()
    rng = random.Random(seed)
    for arrived in arrivals(batches):
        whole.take(arrived)
    for number, arrived in enumerate(arrivals(batches)):
        if not arrived.traces:
            split.take(arrived)
            continue
        # Every span for itself, in any order; the tick of their second is overtaken by some.
        events = list(enumerate(batches[number - 1]))
        rng.shuffle(events)
        pieces = [
            replace(arrived, traces=(payload([event], arrived.clock),), tick=False)
            for _, event in events
        ]
        pieces.insert(rng.randint(0, len(pieces)), replace(arrived, traces=()))
        for piece in pieces:
            split.take(piece)
    _assert_same(rows(split.readings), rows(whole.readings))
    assert split.unjudged == whole.unjudged


def test_examples_are_the_failed_and_the_slowest():
    gathered = Gathered()
    events = [
        Event(0, duration * 10**9, "x", "a", failed=failed, tokens=None)
        for duration, failed in ((1, False), (9, False), (2, True), (3, False))
    ]
    for arrived in arrivals([[], [], events]):
        gathered.take(arrived)
    (told,) = {
        ids for r in gathered.readings for e, ids in r.trace_ids.items() if e.monitor != "file-all"
    }
    assert told == tuple(f"{n:032x}" for n in (3, 2))


def test_what_is_no_number_is_counted_and_the_event_is_one_all_the_same():
    gathered = Gathered()
    events = [Event(0, 0, "x", "a", failed=False, tokens=t) for t in ("many", 5, float("inf"))]
    for arrived in arrivals([[], events]):
        gathered.take(arrived)
    found = {(r[2], v) for r, v in rows(gathered.readings).items() if r[0] == "file-models"}
    assert {("rate", (3 / 30, 3)), ("mean_tokens", (5.0, 1))} <= found
    # Of three features each.
    assert gathered.unjudged["no_number"] == 6


def test_spans_without_an_end_or_far_ahead_are_in_no_reading():
    gathered = Gathered()
    event = Event(0, 0, "x", "a", failed=False, tokens=None)
    gathered.take(Arrivals(BEGIN, tick=True))
    clock = clock_of(2)
    for ago in (-500, int(clock)):
        body = payload([event._replace(ago=ago)], clock)
        gathered.take(Arrivals(clock, (body,), watermarks=(clock, 0.0)))
    for n in range(20, 100, 20):
        gathered.take(Arrivals(clock + n, tick=True, watermarks=(clock, 0.0)))
    assert not rows(gathered.readings)
