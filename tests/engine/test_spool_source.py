"""The live source: over restarts, with clocks that are wrong, with another spool."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spool import Spool
from engine.spool_source import SNAPSHOTS_KEPT, Position, SpoolPartition

WAIT = 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.db")
    yield opened
    opened.close()


def _fill(spool: Spool, *bodies: bytes) -> None:
    for body in bodies:
        spool.append("traces", body).result(WAIT)


def _read(partition: SpoolPartition) -> list[bytes]:
    return [body for arrivals in partition.next_batch() for body in arrivals.traces]


def _going_on() -> bool:
    return False


def test_a_restart_reads_on_and_says_what_it_replays(spool: Spool) -> None:
    _fill(spool, b"a", b"b")
    first = SpoolPartition(spool, _going_on, None)
    assert _read(first) == [b"a", b"b"]
    position = first.snapshot()
    _fill(spool, b"c")
    second = SpoolPartition(spool, _going_on, position)
    _fill(spool, b"d")
    arrivals = second.next_batch()
    assert [body for each in arrivals for body in each.traces] == [b"c", b"d"]
    assert arrivals[-1].live
    third = SpoolPartition(spool, _going_on, position)
    assert not any(each.live for each in third.next_batch())


def test_a_spool_that_began_anew_is_read_from_its_start(spool: Spool) -> None:
    _fill(spool, b"a", b"b")
    partition = SpoolPartition(spool, _going_on, Position(after=500, clock=1.0))
    assert _read(partition) == [b"a", b"b"]


def test_a_clock_that_is_set_back_stops_neither_ticks_nor_the_clock_of_the_flow(
    spool: Spool,
) -> None:
    times = iter([1000.0, 1001.5, 400.0, 400.5, 401.5, 1002.0])
    partition = SpoolPartition(spool, _going_on, None, now=lambda: next(times))
    clocks = [[each.clock for each in partition.next_batch()] for _ in range(6)]
    assert clocks == [[1000.0], [1001.5], [1001.5], [], [1001.5], [1002.0]]


def test_what_enough_snapshots_have_passed_is_freed(spool: Spool) -> None:
    partition = SpoolPartition(spool, _going_on, None)
    for number in range(SNAPSHOTS_KEPT + 2):
        _fill(spool, b"%d" % number)
        assert _read(partition) == [b"%d" % number]
        partition.snapshot()
    _fill(spool, b"deleted is with the next commit")
    left = [stored.body for stored in spool.read(0, 100, 1 << 20)]
    assert left[:-1] == [b"%d" % n for n in range(2, SNAPSHOTS_KEPT + 2)]


def test_stopping_ends_the_input(spool: Spool) -> None:
    with pytest.raises(StopIteration):
        SpoolPartition(spool, lambda: True, None).next_batch()
