"""Sums and tallies of a batch against counting span by span in plain dicts: equal to the last count."""

from collections import defaultdict

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from engine.columns import _places
from engine.columns._grouping import distinct
from engine.columns._places import Places
from engine.columns._shared import Classes
from engine.columns._sums import Cells, Counted, Sums
from slo.admitted import Admitted, Where
from slo.decision import OVERFLOW, SeriesKey
from slo.explain import OTHER
from slo.plan import beside, shard_of

OBJECTIVE, GENERATION, SHARDS = "s-o", "g", 3
SECONDS = np.array([100, 105, 110, 400], np.int64)
# Few texts, so that classes read alike; "(other)" may be what a sender sends.
TEXTS = st.sampled_from(["", "a", "b", "c", "1", OVERFLOW])
CELLS = st.tuples(st.integers(0, 3), st.integers(0, 2**53), st.integers(1, 2**53))


@st.composite
def batches(draw):
    """Of classes their texts, their cells by bucket, and which have an example."""
    width = draw(st.integers(0, 2))
    columns = width + draw(st.integers(0, 2))
    size = draw(st.integers(1, 30)) if columns else 1
    texts = [draw(st.lists(TEXTS, min_size=size, max_size=size)) for _ in range(columns)]
    cells = []
    for class_ in range(size):
        found = {b: (bad, total) for b, bad, total in draw(st.lists(CELLS, max_size=3))}
        cells += [(class_, bucket, *count) for bucket, count in sorted(found.items())]
    cells = cells or [(0, 1, 1, 2)]
    classes = sorted({class_ for class_, *_ in cells})
    examples = {class_: f"{class_:032x}" for class_ in classes if draw(st.booleans())}
    named = tuple(i for i in range(columns - width) if draw(st.booleans()))
    admitted = draw(st.none() | st.sets(st.tuples(*[TEXTS] * width), max_size=4))
    return width, texts, cells, examples, named, admitted


def _told(sums):
    """What the shards are told, as plain dicts of exact numbers."""
    counts, tallies = defaultdict(lambda: (0, 0)), {}
    for shard, share in sums.by_shard():
        assert len(share.entries.rows)
        for row, time, (bad, total) in zip(*(p.tolist() for p in share.entries), strict=True):
            at = shard, share.keys[row], time
            counts[at] = counts[at][0] + bad, counts[at][1] + total
        for tally in share.tallies:
            at = shard, tally.key, tally.values
            assert at not in tallies or tally.key.group == (OVERFLOW,) * len(tally.key.group)
            bad, total, _ = tallies.get(at, (0, 0, ()))
            tallies[at] = bad + tally.bad, total + tally.total, tally.trace_ids
    return dict(counts), tallies


def _knowing(admitted):
    knows = Admitted()
    if admitted is not None:
        for shard in range(SHARDS - 1):
            knows.close(Where(OBJECTIVE, GENERATION, str(shard)), admitted)
    return knows


@settings(max_examples=150, deadline=None)
@given(batches(), st.booleans(), st.booleans())
def test_equal_to_counting_in_dicts(batch, apart, remembers):
    width, texts, cells, examples, named, admitted = batch
    knows = _knowing(admitted)
    counts, tallies = defaultdict(lambda: [0, 0]), defaultdict(lambda: [0, 0])
    for class_, bucket, bad, total in cells:
        values = tuple(column[class_] for column in texts)
        group, explained = values[:width], values[width:]
        key = SeriesKey(OBJECTIVE, group, GENERATION)
        shard = shard_of(key, SHARDS)
        if group and knows.refuses(Where(OBJECTIVE, GENERATION, shard), group):
            key = key._replace(group=(OVERFLOW,) * width)
            explained = tuple(OTHER if i in named else v for i, v in enumerate(explained))
        whole = SeriesKey(OBJECTIVE, None, GENERATION)
        series = [(int(shard), key)] + [(int(shard_of(whole, SHARDS)), whole)] * (width > 0)
        for at, one in series:
            sums = counts[at, beside(one) if apart else one, int(SECONDS[bucket])]
            sums[0] += bad
            sums[1] += total
        sums = tallies[int(shard), key, explained]
        sums[0] += bad
        sums[1] += total
    array = np.array(cells, np.int64)
    given_cells = Cells(array[:, 0], array[:, 1], np.ascontiguousarray(array[:, 2:]))
    size = len(texts[0]) if texts else 1
    counted = Counted(OBJECTIVE, GENERATION, width, explains=True, named=named)
    places = Places(SHARDS, knows)
    for _ in range(1 + remembers):
        sums, grouped = Sums(places), Classes(np.zeros(0, np.int64), texts, size)
        if apart:
            sums.add_apart(counted, grouped, given_cells, SECONDS)
        else:
            sums.add(counted, grouped, given_cells, SECONDS, examples)
    found, told = _told(sums)
    assert found == {at: tuple(count) for at, count in counts.items()}
    if not apart:
        assert {at: tally[:2] for at, tally in told.items()} == {
            at: tuple(count) for at, count in tallies.items()
        }
        traces = [trace for *_, ids in told.values() for trace in ids]
        assert set(traces) <= set(examples.values())
        assert bool(traces) == bool(examples)
    late = given_cells.totals(len(SECONDS))
    assert late == [sum(t for _, b, _, t in cells if b == bucket) for bucket in range(4)]


def test_objectives_of_one_shard_do_not_mix():
    """Rows of each point to its own series, whoever came first."""
    sums = Sums(Places(1, Admitted()))
    grouped = Classes(np.zeros(0, np.int64), [["a", "b"]], 2)
    for number, name in enumerate(("one", "two"), 1):
        ones = np.full((2, 2), number, np.int64)
        cells = Cells(np.array([0, 1]), np.array([0, 0]), ones)
        sums.add(Counted(name, "g", 1), grouped, cells, SECONDS, {})
    counts, tallies = _told(sums)
    assert not tallies
    for name, number in (("one", 1), ("two", 2)):
        for group in (("a",), ("b",)):
            assert counts[0, SeriesKey(name, group, "g"), 100] == (number, number)
        assert counts[0, SeriesKey(name, None, "g"), 100] == (2 * number, 2 * number)


def test_nothing_counted_is_nothing_told():
    sums = Sums(Places(1, Admitted()))
    none = Cells(*(np.zeros(0, np.int64) for _ in range(2)), np.zeros((0, 2), np.int64))
    sums.add_apart(Counted("o", "g", 0), Classes(none.classes, [], 1), none, SECONDS)
    assert list(sums.by_shard()) == []


def test_the_last_of_classes_that_are_one_tally_gives_its_trace():
    sums = Sums(Places(1, Admitted()))
    grouped = Classes(np.zeros(0, np.int64), [["1", "1", "2"]], 3)
    cells = Cells(np.arange(3), np.zeros(3, np.int64), np.ones((3, 2), np.int64))
    examples = {0: "first", 1: "last"}
    sums.add(Counted("o", "g", 0, explains=True), grouped, cells, SECONDS, examples)
    ((_, share),) = sums.by_shard()
    assert [(t.values, t.total, t.trace_ids) for t in share.tallies] == [
        (("1",), 2, ("last",)),
        (("2",), 1, ()),
    ]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1))
def test_distinct_numbers_in_order_of_appearance(pairs):
    ids, firsts = distinct(*np.array(pairs, np.int64).T)
    numbers: dict[tuple[int, int], int] = {}
    assert ids.tolist() == [numbers.setdefault(pair, len(numbers)) for pair in pairs]
    assert [pairs[row] for row in firsts.tolist()] == list(numbers)


def test_places_that_are_forgotten_meanwhile_stay_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_places, "REMEMBERED", 10)
    places = Places(4, Admitted())
    groups = [(str(n),) for n in range(100)]
    found = places.of_groups("o", "g", groups)
    assert len(places) == 0
    again = places.of_groups("o", "g", groups[:5] + groups[:5])
    assert len(places) == 5
    for numbers, one in ((groups, found), (groups[:5] * 2, again)):
        for group, number in zip(numbers, one.numbers.tolist(), strict=True):
            assert one.keys[number] == SeriesKey("o", group, "g")
            assert one.shards[number] == int(shard_of(one.keys[number], 4))


def test_overflow_does_not_pile_up() -> None:
    knows = Admitted()
    knows.close(Where("o", "g", "0"), [("kept",)])
    places = Places(1, knows)
    for batch in range(5):
        found = places.of_groups("o", "g", [(f"{batch}-{n}",) for n in range(50)] + [("kept",)])
        assert len(places) == 1
        assert len(found.keys) == 2
        assert found.shared[found.numbers].tolist() == [True] * 50 + [False]
