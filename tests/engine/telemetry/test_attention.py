"""The log says what changed, once per change."""

import io
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from engine.spool.spool import Spool
from engine.spool.spool_source import Position, SpoolPartition
from engine.telemetry.attention import Attention, Look
from engine.telemetry.log import configure

WAIT = 20


@pytest.fixture
def said() -> Iterator[Callable[[], list[dict[str, object]]]]:
    out = io.StringIO()
    configure(out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.db")
    yield opened
    opened.close()


def _partition(spool: Spool, after: int) -> SpoolPartition:
    return SpoolPartition(spool, lambda: False, Position(after, 1.0))


def _looks(*looks: Look) -> None:
    left = iter(looks)
    attention = Attention(lambda: next(left), time.time())
    for _ in looks:
        attention.check()


def test_falling_behind_and_catching_up(said: Callable[[], list[dict[str, object]]]) -> None:
    _looks(*(Look(None, lag) for lag in (0, 9, 10, 50, 7, 4, 1, 11)))
    assert [(line["level"], line["lag_seconds"]) for line in said()] == [
        ("warning", 10),
        ("info", 4),
        ("warning", 11),
    ]


def test_a_spool_that_fills_and_empties(said: Callable[[], list[dict[str, object]]]) -> None:
    _looks(*(Look(None, 0, stored, 100) for stored in (0, 79, 80, 100, 75, 69, 0)))
    assert [(line["level"], line["bytes"]) for line in said()] == [("warning", 80), ("info", 69)]


def test_a_replay_says_how_much_and_how_long(
    spool: Spool, said: Callable[[], list[dict[str, object]]]
) -> None:
    for body in (b"a", b"b", b"c"):
        spool.append("traces", body).result(WAIT)
    partition = _partition(spool, after=1)
    attention = Attention(lambda: Look(partition, 3600.0), time.time())
    attention.check()
    attention.check()
    assert partition.replaying()
    assert partition.unread_seconds() > 0
    (begins,) = said()
    assert begins["payloads"] == 2
    [again] = partition.next_batch()
    assert again.recalled, (
        "what was counted already is read for the memory of calls, and no part of the replay"
    )
    partition.next_batch()
    assert not partition.replaying()
    assert partition.unread_seconds() == 0
    attention.check()
    _, ends, behind = said()
    assert ends["payloads"] == 2
    assert ends["seconds"] >= 0
    # What is late after the replay is so by itself.
    assert behind["event"] == "the flow falls behind; decisions are late"


def test_a_start_without_a_replay_says_nothing(
    spool: Spool, said: Callable[[], list[dict[str, object]]]
) -> None:
    _looks(*[Look(_partition(spool, after=0), 0.0)] * 2)
    assert said() == []


def test_a_flow_that_starts_again_replays_again(
    spool: Spool, said: Callable[[], list[dict[str, object]]]
) -> None:
    spool.append("traces", b"a").result(WAIT)
    partitions = [_partition(spool, after=0) for _ in range(2)]
    for partition in partitions:
        partition.next_batch()
    _looks(*(Look(partition, 0.0) for partition in partitions))
    assert len(said()) == 4


def test_the_first_payload_of_each_signal(
    spool: Spool, said: Callable[[], list[dict[str, object]]]
) -> None:
    """Since the start: what a snapshot remembers is no news."""
    partition = _partition(spool, after=0)
    attention = Attention(lambda: Look(partition, 0.0), since=1000.0)
    for marks in ((999.0, 0.0), (1001.0, 0.0), (1002.0, 0.0), (1002.0, 1003.0)):
        partition.position = Position(0, 1.0, marks)
        attention.check()
    assert [line["signal"] for line in said()] == ["traces", "metrics"]


def test_a_spool_that_cannot_be_read_ends_nothing(
    said: Callable[[], list[dict[str, object]]],
) -> None:
    def look() -> Look:
        raise sqlite3.OperationalError("disk I/O error")

    Attention(look, 0.0).check()
    assert said() == []


def test_it_starts_and_stops() -> None:
    attention = Attention(lambda: Look(None, 0.0), 0.0)
    attention.start()
    attention.stop()
    Attention(lambda: Look(None, 0.0), 0.0).stop()
