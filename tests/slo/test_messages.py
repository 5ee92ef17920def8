"""Deposits on their way to another worker, and several of one shard as one."""

import pickle
from dataclasses import fields

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from slo.decision import SeriesKey
from slo.messages import Deposit, Tally, merge
from slo.origins import Origin
from slo.windows import Entries

NUMBERS = st.integers(-(2**63), 2**63 - 1)
GROUPS = st.none() | st.lists(st.text(max_size=3), max_size=2).map(tuple)
KEYS = st.builds(SeriesKey, st.sampled_from(["o", "p"]), GROUPS, st.sampled_from(["g", "g/apart"]))
TALLIES = st.builds(
    Tally,
    KEYS,
    st.lists(st.text(max_size=2), max_size=2).map(tuple),
    NUMBERS,
    NUMBERS,
    st.sampled_from([(), ("t1",), ("t1", "t2")]),
)


@st.composite
def deposits(draw):
    keys = tuple(draw(st.lists(KEYS, max_size=6)))
    size = draw(st.integers(0, 8)) if keys else 0
    of = {"min_size": size, "max_size": size}
    counts = draw(st.lists(st.tuples(NUMBERS, NUMBERS), **of))
    entries = Entries(
        np.array(draw(st.lists(st.integers(0, max(len(keys) - 1, 0)), **of)), np.int64),
        np.array(draw(st.lists(NUMBERS, **of)), np.int64),
        np.array(counts, np.int64).reshape(-1, 2),
    )
    return Deposit(
        shard=draw(st.sampled_from(["0", "12"])),
        clock=draw(st.floats(allow_nan=False)),
        live=draw(st.booleans()),
        exact=draw(st.booleans()),
        keys=keys,
        entries=entries,
        tallies=tuple(draw(st.lists(TALLIES, max_size=4))),
        watermarks=(draw(st.floats(0, 9)), 2.0),
        ahead_ns=draw(st.integers(0, 5)),
        origin=Origin("t/1", 4),
    )


def _plain(deposit: Deposit) -> dict[str, object]:
    said = {field.name: getattr(deposit, field.name) for field in fields(deposit)}
    return said | {"entries": [part.tolist() for part in deposit.entries]}


@given(deposits())
def test_a_deposit_comes_out_of_a_pickle_as_it_went_in(deposit):
    found = pickle.loads(pickle.dumps(deposit))  # noqa: S301  just made
    assert _plain(found) == _plain(deposit)
    assert all(type(key) is SeriesKey for key in found.keys)
    assert all(type(tally) is Tally for tally in found.tallies)
    # Whoever gets it may count in its arrays.
    assert all(part.dtype == np.int64 and part.flags.writeable for part in found.entries)


@given(deposits())
def test_one_that_an_earlier_version_pickled_is_read(deposit):
    """Field by field, as a dataclass does that says nothing of pickling: snapshots hold such."""
    found = Deposit.__new__(Deposit)
    found.__setstate__([getattr(deposit, field.name) for field in fields(deposit)])
    assert _plain(found) == _plain(deposit)


@given(st.lists(deposits(), min_size=1, max_size=4))
def test_merged_entries_point_into_the_keys_of_all(several):
    def named(deposit):
        rows, times, counts = (part.tolist() for part in deposit.entries)
        return [(deposit.keys[r], t, c) for r, t, c in zip(rows, times, counts, strict=True)]

    found = merge(several)
    assert named(found) == [one for deposit in several for one in named(deposit)]
    assert found.tallies == tuple(tally for deposit in several for tally in deposit.tallies)
    assert found.clock == max(deposit.clock for deposit in several)
    assert found.live == several[-1].live
