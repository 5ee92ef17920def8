"""The live source where the flow is built anew in the same process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spool.arrivals import Arrivals
from engine.spool.spool import Spool
from engine.spool.spool_source import Position, SpoolPartition, SpoolSource

WAIT = 20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "spool.db")
    yield opened
    opened.close()


def _partition(
    spool: Spool, resume: Position | None, decided_through: int | None
) -> SpoolPartition:
    source = SpoolSource(spool, lambda: False, decided_through=decided_through)
    return source.build_part("", "spool", resume)


def _fill(spool: Spool, *bodies: bytes) -> None:
    for body in bodies:
        spool.append("traces", body).result(WAIT)


def _next(partition: SpoolPartition) -> list[Arrivals]:
    """The next batch that is not read again only to be remembered."""
    while (batch := partition.next_batch()) and batch[0].recalled:
        pass
    return batch


def _live(arrivals: list[Arrivals]) -> dict[bytes, bool]:
    return {body: each.live for each in arrivals for body in each.traces}


def test_what_waited_during_a_reload_is_decided_on_live(spool: Spool) -> None:
    _fill(spool, b"a")
    first = _partition(spool, None, spool.last_id())
    assert _live(first.next_batch()) == {b"a": False}, "a process before may have"
    position = first.snapshot()
    _fill(spool, b"b", b"c")
    second = _partition(spool, position, first.position.after)
    [*_, last] = _next(second)
    assert last.live
    assert last.tick, "every shard decides at once"
    assert _live([last])[b"c"]


def test_with_nothing_to_read_a_reload_ticks_at_once(spool: Spool) -> None:
    _fill(spool, b"a")
    first = _partition(spool, None, 0)
    assert first.next_batch()
    second = _partition(spool, first.snapshot(), first.position.after)
    [tick] = _next(second)
    assert (tick.tick, tick.live, tick.traces) == (True, True, ())
    assert tick.clock >= first.position.clock
    assert _next(second) == []


def test_after_a_failure_what_had_been_read_is_replayed(spool: Spool) -> None:
    _fill(spool, b"a")
    first = _partition(spool, None, 0)
    first.next_batch()
    saved = first.snapshot()
    _fill(spool, b"b")
    first.next_batch()
    # The snapshot after this was never whole.
    second = _partition(spool, saved, first.position.after)
    assert _live(_next(second)) == {b"b": False}
    _fill(spool, b"c")
    assert _live(_next(second)) == {b"c": True}
