"""The live source: over restarts, with clocks that are wrong, with another spool."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spool._spool_repair import AckMark
from engine.spool.arrivals import GENERATION, Arrivals
from engine.spool.clock import SECOND_NS
from engine.spool.spool import Spool
from engine.spool.spool_source import SNAPSHOTS_KEPT, Position, SpoolPartition
from tests.engine.spool.clocks import HOUR, START, World

WAIT = 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.db")
    yield opened
    opened.close()


def _fill(spool: Spool, *bodies: bytes) -> None:
    for body in bodies:
        spool.append("traces", body).result(WAIT)


def _next(partition: SpoolPartition) -> list[Arrivals]:
    """The next batch that is not recalled."""
    batch = partition.next_batch()
    while batch and batch[0].recalled:
        batch = partition.next_batch()
    return batch


def _read(partition: SpoolPartition) -> list[bytes]:
    return [body for arrivals in _next(partition) for body in arrivals.traces]


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
    arrivals = _next(second)
    assert [body for each in arrivals for body in each.traces] == [b"c", b"d"]
    assert arrivals[-1].live
    third = SpoolPartition(spool, _going_on, position)
    assert not any(each.live for each in _next(third))


def test_a_spool_that_began_anew_is_read_from_its_start(spool: Spool) -> None:
    _fill(spool, b"a", b"b")
    partition = SpoolPartition(spool, _going_on, Position(after=500, clock=1.0, spool="another"))
    assert _read(partition) == [b"a", b"b"]
    # Its ids go on above those that were read of the other: a snapshot may still name them.
    assert spool.append("traces", b"c").result(WAIT) == 501


def test_a_spool_that_lost_what_was_counted_is_read_on_from_its_end(spool: Spool) -> None:
    _fill(spool, b"a", b"b")
    position = Position(after=500, clock=1.0, spool=spool.identity)
    partition = SpoolPartition(spool, _going_on, position)
    assert _read(partition) == []
    _fill(spool, b"c")
    assert _read(partition) == [b"c"]
    assert partition.snapshot().after == 501


def test_lost_is_what_was_acknowledged_and_not_yet_counted(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = Spool(path)
    _fill(spool, b"a", b"b", b"c")
    AckMark(path, spool.identity).note(8)
    spool.close()
    spool = Spool(path)
    lost: list[int] = []
    SpoolPartition(spool, _going_on, Position(after=5, spool=spool.identity), lost.append)
    SpoolPartition(spool, _going_on, Position(after=8, spool=spool.identity), lost.append)
    SpoolPartition(spool, _going_on, Position(after=5, spool=spool.identity), lost.append)
    assert lost == [3], "once, though the flow is built anew from an older snapshot"
    spool.close()


def test_ticks_go_on_at_the_steady_pace_whatever_the_wall_clock_does(tmp_path: Path) -> None:
    world = World()
    spool = Spool(tmp_path / "spool.db", clock=world.clock())
    partition = SpoolPartition(spool, _going_on, None)
    clocks = []
    for milliseconds, off_seconds in ((0, 0), (1500, 0), (2000, -600), (3000, -600), (4000, 0)):
        world.passed, world.off = milliseconds * 10**6, off_seconds * 10**9
        clocks.append([round(each.clock - START / 1e9, 3) for each in partition.next_batch()])
    assert clocks == [[0.0], [1.5], [], [3.0], [4.0]]
    spool.close()


def test_a_replay_ticks_through_its_pauses(tmp_path: Path) -> None:
    world = World()
    spool = Spool(tmp_path / "spool.db", clock=world.clock())
    for seconds in (0, 5, 3600):
        world.passed = seconds * 10**9
        _fill(spool, b"%d" % seconds)
    partition = SpoolPartition(spool, _going_on, Position(clock=START / 1e9 - 2))
    found = [(each.clock - START / 1e9, each.tick, each.live) for each in partition.next_batch()]
    assert found == [
        (0.0, True, False),
        *((float(second), True, False) for second in (1, 2, 3)),
        (5.0, True, False),
        (3600.0, True, False),
    ]
    spool.close()


def test_a_batch_is_placed_by_one_clock(tmp_path: Path) -> None:
    world = World()
    spool = Spool(tmp_path / "spool.db", clock=world.clock())
    world.off = HOUR  # doubted
    _fill(spool, b"a")
    _fill(spool, b"b")
    world.off = 0
    _fill(spool, b"c")
    first, second = SpoolPartition(spool, _going_on, None).next_batch()
    assert (first.traces, first.doubt_ns, first.clock) == ((b"a", b"b"), HOUR, START / 1e9)
    assert (second.traces, second.doubt_ns, second.clock) == ((b"c",), 0, START / 1e9)
    spool.close()


def test_what_enough_snapshots_have_passed_is_freed(tmp_path: Path) -> None:
    world = World()
    spool = Spool(tmp_path / "spool.db", clock=world.clock())
    partition = SpoolPartition(spool, _going_on, None)
    for number in range(SNAPSHOTS_KEPT + 5):
        world.run(spool.clock, GENERATION * SECOND_NS)
        _fill(spool, b"%d" % number)
        assert b"%d" % number in _read(partition)
        partition.snapshot()
    _fill(spool, b"deleted is with the next commit")
    left = [stored.body for stored in spool.read(0, 100, 1 << 20)]
    # The snapshots kept, and two generations of what came before them.
    assert left[:-1] == [b"%d" % n for n in range(3, SNAPSHOTS_KEPT + 5)]
    spool.close()


def test_a_fuller_spool_keeps_nothing_to_recall(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", max_bytes=SNAPSHOTS_KEPT + 4)
    partition = SpoolPartition(spool, _going_on, None)
    for number in range(SNAPSHOTS_KEPT + 3):
        _fill(spool, b"%d" % number)
        _read(partition)
        partition.snapshot()
    spool.close()
    assert len(partition.snapshots) == SNAPSHOTS_KEPT


def test_a_restart_recalls_what_came_shortly_before(spool: Spool) -> None:
    _fill(spool, b"a", b"b")
    first = SpoolPartition(spool, _going_on, None)
    _read(first)
    position = first.snapshot()
    _fill(spool, b"c")
    second = SpoolPartition(spool, _going_on, position)
    arrivals = [each for _ in range(3) for each in second.next_batch()]
    recalled = [body for each in arrivals for body in each.traces if each.recalled]
    assert recalled == [b"a", b"b"]
    assert [body for each in arrivals for body in each.traces if not each.recalled] == [b"c"]
    assert not any(each.live or each.tick for each in arrivals if each.recalled)
    assert not any(each.recalled for each in first.next_batch())


def test_stopping_ends_the_input(spool: Spool) -> None:
    with pytest.raises(StopIteration):
        SpoolPartition(spool, lambda: True, None).next_batch()
