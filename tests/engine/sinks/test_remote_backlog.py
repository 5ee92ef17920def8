import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.sinks import _remote_backlog
from engine.sinks._remote_backlog import CHUNK, Backlog, Samples


def samples(size: int, taken: float, nbytes: int = 0) -> Samples:
    return Samples(b"", taken, [b""] * size, np.zeros(size), nbytes or 8 * size)


def test_samples_are_sent_in_order_in_chunks() -> None:
    backlog = Backlog(900, 1 << 20)
    first, second = samples(2 * CHUNK + 1, 0), samples(3, 15)
    assert backlog.next() is None
    assert backlog.add(first) == backlog.add(second) == 0
    sent = []
    while (chunk := backlog.next()) is not None:
        sent.append(chunk)
        backlog.done(chunk)
        backlog.done(chunk)  # again: the answer of an attempt that was given up
    assert [(c.samples, c.start, c.stop) for c in sent] == [
        (first, 0, CHUNK),
        (first, CHUNK, 2 * CHUNK),
        (first, 2 * CHUNK, 2 * CHUNK + 1),
        (second, 0, 3),
    ]
    assert backlog.pending == 0


def test_what_waits_too_long_is_dropped_and_counted() -> None:
    backlog = Backlog(900, 1 << 20)
    for taken in range(0, 915, 15):
        assert backlog.add(samples(10, taken)) == 0
    assert backlog.add(samples(10, 915)) == 10
    assert backlog.pending == 61 * 10


def test_the_rest_of_what_was_begun_is_dropped_and_its_answer_changes_nothing() -> None:
    backlog = Backlog(10, 1 << 20)
    backlog.add(samples(CHUNK + 5, 0))
    begun = backlog.next()
    assert begun is not None
    backlog.done(begun)
    last = backlog.next()
    assert last is not None
    assert backlog.add(samples(7, 11)) == 5
    backlog.done(last)
    assert backlog.pending == 7


def test_memory_is_bounded_but_the_newest_stays() -> None:
    backlog = Backlog(900, 100)
    assert backlog.add(samples(1, 0, 60)) == 0
    assert backlog.add(samples(2, 1, 60)) == 1
    assert backlog.add(samples(3, 2, 1000)) == 2
    assert backlog.pending == 3
    assert backlog.next() is not None


def test_an_empty_sample_set_does_not_block() -> None:
    backlog = Backlog(900, 100)
    backlog.add(samples(0, 0))
    backlog.add(samples(1, 1))
    chunk = backlog.next()
    assert chunk is not None
    backlog.done(chunk)
    chunk = backlog.next()
    assert chunk is not None
    assert chunk.stop == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 9), st.integers(0, 40)),
            st.tuples(st.just("send"), st.just(0), st.just(0)),
        )
    )
)
def test_nothing_is_lost_uncounted(steps: list[tuple[str, int, int]]) -> None:
    backlog, clock, added, sent, dropped = Backlog(60, 200), 0.0, 0, 0, 0
    chunk_size, _remote_backlog.CHUNK = _remote_backlog.CHUNK, 4
    try:
        for what, size, later in steps:
            if what == "add":
                clock += later
                added += size
                dropped += backlog.add(samples(size, clock))
            elif (chunk := backlog.next()) is not None:
                backlog.done(chunk)
                sent += chunk.stop - chunk.start
            assert backlog.pending == added - sent - dropped
            assert (backlog.next() is None) == (backlog.pending == 0)
    finally:
        _remote_backlog.CHUNK = chunk_size
