"""Increments against plain lists of events, and the quiet edges of counters."""

import pickle
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.increments import INTERVALS, Increments, Point, Role, Value


def point(
    value: Value,
    time: int,
    start: int = 1,
    *,
    role: Role = "total",
    cumulative: bool = True,
    stream: str = "s",
    family: str = "f",
    objective: str = "o",
) -> Point:
    return Point(
        objective, role, stream.encode(), family.encode(), (), start, time, cumulative, value
    )


def watching(since: int = 0, **options: int) -> Increments:
    increments = Increments(**options)
    increments.watch({"o": "1"}, since)
    return increments


def totals(increments: Increments, *points: Point) -> list[int | None]:
    fed = [increments.feed(p) for p in points]
    return [None if i is None else i.total for i in fed]


def test_a_series_born_in_sight_counts_from_zero() -> None:
    assert totals(watching(10), point(5, 20, start=11), point(7, 30, start=11)) == [5, 2]


@pytest.mark.parametrize("start", [0, 9, 10, 20, 25])
def test_a_series_that_may_be_older_than_us_only_says_from_where_to_count(start: int) -> None:
    increments = watching(10)
    assert totals(increments, point(5, 20, start=start), point(7, 30, start=start)) == [None, 2]
    assert increments.counts == {"first": 1}


def test_unless_told_an_objective_is_watched_since_its_first_point() -> None:
    increments = Increments()
    assert totals(increments, point(5, 20, start=19), point(6, 30, start=21, stream="new")) == [
        None,
        6,
    ]


def test_after_a_restart_an_objective_is_watched_since_its_first_start() -> None:
    increments = watching(10)
    increments.watch({"o": "1", "new": "1"}, 500)
    assert totals(increments, point(5, 520, start=11)) == [5]
    assert totals(increments, point(5, 520, start=11, objective="new", stream="n")) == [None]


@pytest.mark.parametrize("between", [{"o": "2"}, {}])
def test_what_is_counted_anew_is_watched_anew(between: dict[str, str]) -> None:
    increments = watching(10)
    fed = totals(increments, point(5, 20, start=11), point(6, 30, start=11))
    assert fed == [5, 1]
    increments.watch(between, 100)
    increments.watch({"o": "2"} | between, 200)
    # Neither its start nor the exports of its metric make it new: nobody looked for it then.
    old = point(9, 220, start=11, stream="selected now")
    assert totals(increments, old, point(10, 230, start=11, stream="selected now")) == [None, 1]


def test_a_series_absent_from_two_exports_was_zero() -> None:
    fed = totals(
        watching(10),
        point(50, 20, stream="ok"),
        point(51, 30, stream="ok"),
        point(3, 40, stream="error"),
    )
    assert fed == [None, 1, 3]


def test_a_series_absent_from_one_export_or_of_another_metric_may_be_old() -> None:
    increments = watching(10)
    assert totals(increments, point(50, 20), point(3, 30, stream="half")) == [None, None]
    assert totals(increments, point(9, 40, stream="other", family="g")) == [None]
    assert totals(increments, point(9, 40, start=2, stream="another writer")) == [None]


def test_restart_is_seen_by_its_start_time_even_where_the_value_grew() -> None:
    assert totals(watching(), point(5, 20), point(9, 40, start=30)) == [5, 9]


def test_reset_is_seen_by_a_falling_value() -> None:
    increments = watching()
    assert totals(increments, point(5, 20), point(3, 30), point(4, 40)) == [5, 3, 1]
    assert increments.counts == {"reset": 1}


def test_two_writers_of_one_identity_do_not_disturb_each_other() -> None:
    fed = totals(
        watching(),
        point(5, 20, start=1),
        point(100, 21, start=2),
        point(6, 30, start=1),
        point(103, 31, start=2),
    )
    assert fed == [5, 100, 1, 3]


def test_the_same_value_later_is_a_sign_of_life_and_the_same_point_is_nothing() -> None:
    increments = watching()
    fed = totals(increments, point(5, 20), point(5, 21), point(5, 21), point(4, 20))
    assert fed == [5, 0, None, None]
    assert increments.counts == {"duplicate": 1, "late": 1}


def test_delta_points_count_as_they_are_once_and_in_any_order() -> None:
    increments = watching()
    fed = totals(
        increments,
        point(5, 20, 10, cumulative=False),
        point(5, 20, 10, cumulative=False),
        point(3, 40, 30, cumulative=False),
        point(2, 30, 20, cumulative=False),
        point(2, 30, 20, cumulative=False),
    )
    assert fed == [5, None, 3, 2, None]
    assert increments.counts == {"duplicate": 2}


def test_delta_points_older_than_what_is_remembered_are_dropped() -> None:
    increments = watching()
    for n in range(INTERVALS):
        increments.feed(point(1, 100 + n, 99 + n, cumulative=False))
    assert totals(increments, point(1, 50, 49, cumulative=False)) == [None]
    assert increments.counts == {"late": 1}


@given(values=st.lists(st.floats(min_value=0, max_value=2.0**62), max_size=30))
def test_delta_floats_add_up_to_the_floor_of_their_exact_sum(values: list[float]) -> None:
    increments = watching()
    fed = totals(
        increments, *(point(v, n + 2, n + 1, cumulative=False) for n, v in enumerate(values))
    )
    assert sum(t for t in fed if t is not None) == floor(sum(map(Fraction, values), Fraction(0)))


@given(values=st.lists(st.floats(min_value=0, max_value=2.0**62), min_size=1, max_size=30))
def test_cumulative_floats_add_up_to_the_floor_of_the_last(values: list[float]) -> None:
    rising = sorted(values)
    fed = totals(watching(), *(point(v, n + 2) for n, v in enumerate(rising)))
    assert sum(t for t in fed if t is not None) == floor(rising[-1])


@pytest.mark.parametrize(
    ("role", "value", "bad", "total"),
    [
        ("total", 5, 0, 5),
        ("bad", 5, 5, 0),
        ("total_until_good", 5, 5, 5),
        ("good", 5, -5, 0),
        ("histogram", (5, 2), 2, 5),
    ],
)
def test_what_each_role_adds(role: Role, value: Value, bad: int, total: int) -> None:
    increment = watching().feed(point(value, 20, role=role))
    assert increment is not None
    assert (increment.bad, increment.total) == (bad, total)


def test_a_histogram_that_grows_coarser_does_not_make_old_events_bad() -> None:
    increments = watching()
    fed = [
        increments.feed(point(v, n + 2, role="histogram"))
        for n, v in enumerate([(5, 1), (6, 4), (7, 4), (9, 3), (2, 1)])
    ]
    assert [(i.bad, i.total) for i in fed if i] == [(1, 5), (1, 1), (0, 1), (0, 2), (1, 2)]


def test_a_payload_is_added_up() -> None:
    fed = watching().feed_all(
        [
            point(5, 20, role="total_until_good", stream="a"),
            point(4, 20, role="good", stream="b"),
            point(1, 20, start=20, stream="c"),
        ]
    )
    assert [(i.time_ns, i.bad, i.total) for i in fed] == [(20, 1, 5)]


def test_what_was_forgotten_is_never_counted_twice() -> None:
    increments = watching(max_streams=2)
    totals(increments, *(point(10, 20 + n, stream=f"{n}") for n in range(3)))
    assert len(increments) == 2
    assert increments.counts == {"evicted": 1}
    assert totals(increments, point(11, 40, stream="0"), point(13, 50, stream="0")) == [None, 2]
    assert totals(increments, point(4, 60, start=55, stream="0")) == [4]


@pytest.mark.parametrize("cumulative", [True, False])
def test_streams_are_bounded_whatever_their_kind(cumulative: bool) -> None:  # noqa: FBT001 - pytest calls it
    increments = watching(max_streams=1)
    for n in range(5):
        increments.feed(point(1, 20 + n, stream=f"{n}", cumulative=cumulative))
        increments.feed(point(1, 20 + n, stream=f"{n}", cumulative=not cumulative))
    assert len(increments) == 1


def test_no_room_for_streams_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Increments(max_streams=0)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, list[tuple[int, int]]]]:
    """Processes one after the other: (start, [(time, events until then)])."""
    clock, lives = 1, []
    for _ in range(draw(st.integers(1, 3))):
        start, value, exports = clock, 0, []
        for _ in range(draw(st.integers(0, 5))):
            clock += draw(st.integers(1, 5))
            value += draw(st.integers(0, 9))
            exports.append((clock, value))
        clock += 1
        lives.append((start, exports))
    return lives


@given(lives=histories(), data=st.data())
def test_any_loss_repetition_and_pickling_leave_the_sum_of_what_arrived_last(
    lives: list[tuple[int, list[tuple[int, int]]]], data: st.DataObject
) -> None:
    points = [point(v, t, start) for start, exports in lives for t, v in exports]
    arriving = data.draw(st.lists(st.sampled_from(points), max_size=30)) if points else []
    increments, total = watching(), 0
    for each in arriving:
        fed = increments.feed(each)
        total += fed.total if fed else 0
        increments = pickle.loads(pickle.dumps(increments))  # noqa: S301 - our own bytes
    newest = {p.start_ns: p for p in sorted(arriving, key=lambda p: p.time_ns)}
    assert total == sum(int(p.value) for p in newest.values() if not isinstance(p.value, tuple))
