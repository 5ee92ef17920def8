import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sinks import _remote_backlog
from engine.sinks._remote_backlog import CHUNK, Backlog, Samples


def samples(size: int, taken: float, nbytes: int = 0) -> Samples:
    return Samples(b"", taken, [b""] * size, np.zeros(size), nbytes or 8 * size)


def test_samples_are_sent_in_order_in_chunks() -> None:
    backlog = Backlog(900, 1 << 20)
    first, second = samples(2 * CHUNK + 1, 0), samples(3, 15)
    assert backlog.begin() is None
    assert backlog.add(first) == backlog.add(second) == 0
    sent = []
    while (chunk := backlog.begin()) is not None:
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


@pytest.mark.parametrize("taken", [True, False])
def test_what_is_being_sent_is_dropped_only_if_it_is_not_taken(taken: bool) -> None:  # noqa: FBT001
    backlog = Backlog(10, 1 << 20)
    backlog.add(samples(CHUNK + 5, 0))
    begun = backlog.begin()
    assert begun is not None
    backlog.done(begun)
    last = backlog.begin()
    assert last is not None
    assert backlog.add(samples(7, 11)) == 0
    assert backlog.pending == 7
    if taken:
        backlog.done(last)
        assert backlog.failed() == 0
    else:
        assert backlog.failed() == 5
    assert backlog.pending == 7


def test_the_rest_that_is_not_being_sent_is_dropped_at_once() -> None:
    backlog = Backlog(10, 1 << 20)
    backlog.add(samples(CHUNK + 5, 0))
    assert backlog.begin() is not None
    assert backlog.add(samples(7, 11)) == 5
    assert backlog.failed() == CHUNK


def test_memory_is_bounded_but_the_newest_stays() -> None:
    backlog = Backlog(900, 100)
    assert backlog.add(samples(1, 0, 60)) == 0
    assert backlog.add(samples(2, 1, 60)) == 1
    assert backlog.add(samples(3, 2, 1000)) == 2
    assert backlog.pending == 3
    assert not backlog.empty()


def test_an_empty_sample_set_does_not_block() -> None:
    backlog = Backlog(900, 100)
    backlog.add(samples(0, 0))
    backlog.add(samples(1, 1))
    chunk = backlog.begin()
    assert chunk is not None
    backlog.done(chunk)
    chunk = backlog.begin()
    assert chunk is not None
    assert chunk.stop == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 9), st.integers(0, 40)),
            st.tuples(st.sampled_from(["begin", "done", "failed"]), st.just(0), st.just(0)),
        )
    )
)
def test_each_sample_waits_is_taken_or_is_dropped(steps: list[tuple[str, int, int]]) -> None:
    backlog, clock, added, sent, dropped = Backlog(60, 200), 0.0, 0, 0, 0
    out = None
    chunk_size, _remote_backlog.CHUNK = _remote_backlog.CHUNK, 4
    try:
        for what, size, later in [*steps, ("failed", 0, 0)]:
            if what == "add":
                clock += later
                added += size
                dropped += backlog.add(samples(size, clock))
            elif what == "begin" and out is None:
                out = backlog.begin()
            elif what == "done" and out is not None:
                backlog.done(out)
                sent += out.stop - out.start
                out = None
            elif what == "failed":
                dropped += backlog.failed()
                out = None
            assert backlog.empty() == (backlog.pending == 0)
            missing = added - sent - dropped - backlog.pending
            # Of what is being sent nobody knows yet.
            assert missing == 0 if out is None else missing in {0, out.stop - out.start}
    finally:
        _remote_backlog.CHUNK = chunk_size
