"""What processes tell each other before they start."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.cluster.cards import Card, Unfit, agree

SAME = {"--shards": "16", "SLO files": "abc"}


def _cards(*partitions: tuple[int, ...], count: int = 8) -> list[Card]:
    return [
        Card(number, len(partitions), SAME, held, count if held else 0)
        for number, held in enumerate(partitions)
    ]


@given(st.integers(1, 12), st.integers(0, 20))
def test_a_first_start_spreads_every_partition_once(processes: int, more: int) -> None:
    wanted = processes + more
    agreed = agree(_cards(*([()] * processes)), wanted)
    made = [number for each in agreed for number in each.create]
    assert sorted(made) == list(range(wanted))
    sizes = [len(each.create) for each in agreed]
    assert max(sizes) - min(sizes) <= 1


def test_later_starts_make_none() -> None:
    agreed = agree(_cards((0, 1, 2, 3), (4, 5, 6, 7), ()), 12)
    assert [each.create for each in agreed] == [(), (), ()]


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        (_cards((0, 1), (2, 3, 5, 6, 7)), "recovery partitions 4 of 8 are in no process's"),
        (_cards((0, 1), (2,)), r"recovery partitions 3, 4, 5, 6 and 7 of 8 .*part-N\.sqlite3"),
        (_cards((0, 1, 2, 3), (3, 4, 5, 6, 7)), "partition 3 is in .* of processes 0 and 1"),
        (
            [*_cards((0, 1))[:1], Card(1, 1, SAME, (0,), 4)],
            "of different stores, of 4 and of 8",
        ),
        (_cards((), (), ()), "2 recovery partitions for 3 processes.*--recovery-partitions 3"),
        ([Card(0, 2, SAME), Card(1, 3, SAME)], "same --addresses"),
        (
            [Card(0, 2, SAME), Card(1, 2, SAME | {"--shards": "32"})],
            "process 1 has --shards 32 and process 0 has 16",
        ),
        (
            [Card(0, 2, SAME), Card(1, 2, SAME | {"SLO files": "x"})],
            "process 1 has SLO files x .* start all processes with the same",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_mend(cards: list[Card], said: str) -> None:
    with pytest.raises(Unfit, match=said):
        agree(cards, 2)


def test_books_come_together_and_objectives_are_watched_since_the_earliest() -> None:
    first, second = _cards((0,), (1,), count=2)
    first = replace(
        first,
        alerts=({"shard": "1"},),
        watched={"a": {"generation": "g", "since_ns": 5}, "b": {"generation": "g", "since_ns": 1}},
    )
    second = replace(
        second, alerts=({"shard": "2"},), watched={"a": {"generation": "g", "since_ns": 3}}
    )
    for each in agree([first, second], 2):
        assert [entry["shard"] for entry in each.alerts] == ["1", "2"]
        assert {o: entry["since_ns"] for o, entry in each.watched.items()} == {"a": 3, "b": 1}


def test_a_card_goes_through_json() -> None:
    card = Card(1, 2, SAME, (0, 3), 8, ({"shard": "1"},), {"a": {"since_ns": 1}})
    assert Card.of(json.loads(json.dumps(asdict(card)))) == card


@pytest.mark.parametrize("plain", [{}, {"process": 1}, {"partitions": 3, "alerts": []}, {"x": 1}])
def test_what_is_no_card_is_said(plain: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no card"):
        Card.of(plain)
