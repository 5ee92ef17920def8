"""Kernels that find out which of several spans for the same model call is the one that counts."""

# Flat, and in the words that numba compiles well:
# ruff: noqa: C901, PLR0912

import numpy as np
from numba import njit
from numpy.typing import NDArray

Uint64s = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

# What a row is: a span that calls nothing, a call that generates, one that embeds, or another operation.
PLAIN, GENERATES, EMBEDS, OTHER = range(4)
# What is remembered of a span, in bits: below it (or in it) a call that generates, or embeds, has been
# counted; it lies in one that has been counted, or is it; it was seen.
BELOW, INSIDE, SEEN = 1, 4, 16
# And of a span's name in a service: such a span stood beside one that counted.
BESIDE = 32
_COVERS, _LIES_IN = 3, 12
# A slot of a table is the key of what is remembered, with that in its lowest bits: one place in memory
# to wait for. 57 bits tell keys apart; of full tables one look-up in some 10^10 finds another's.
_FLAG_BITS = np.uint64(6)
_FLAGS = np.uint64(63)
_LEAST = np.uint64(64)  # no key is 0, which is a free slot
_KEY = ~_FLAGS
_ONE, _MANY = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_BITS, _DIGIT_BITS = np.uint64(64), np.uint64(11)
_DIGITS, _DIGIT = 1 << 11, np.uint64((1 << 11) - 1)
_SHIFT = np.uint64(32)
_ZERO = np.uint64(0)


@njit(cache=True, nogil=True, inline="always")
def _mix(code: np.uint64, value: np.uint64) -> np.uint64:
    code = (code ^ value) * _ONE
    code = (code ^ (code >> _SHIFT)) * _MANY
    return code ^ (code >> _SHIFT)


@njit(cache=True, nogil=True)
def in_time(starts: Uint64s, ends: Uint64s) -> NDArray[np.int64]:
    """Rows by their ends; of equal ends the one that started last is first, else as they came.

    It is `np.lexsort((~starts, ends))` by digits: many clocks give milliseconds, so that most ends are equal.
    """
    order = np.arange(starts.size)
    if starts.size < 2:
        return order
    other = np.empty_like(order)
    last_start, first_end = starts.max(), ends.min()
    for by_end in (False, True):
        most = ends.max() - first_end if by_end else last_start - starts.min()
        shift = _ZERO
        while shift < _BITS and most >> shift != _ZERO:
            places = np.zeros(_DIGITS + 1, np.int64)
            for row in order:
                value = ends[row] - first_end if by_end else last_start - starts[row]
                places[np.int64((value >> shift) & _DIGIT) + 1] += 1
            places = np.cumsum(places)
            for row in order:
                value = ends[row] - first_end if by_end else last_start - starts[row]
                digit = np.int64((value >> shift) & _DIGIT)
                other[places[digit]] = row
                places[digit] += 1
            order, other = other, order
            shift += _DIGIT_BITS
    return order


@njit(cache=True, nogil=True)
def _slot(table: Uint64s, key: np.uint64) -> int:
    """Where a key stands, or would."""
    mask = np.uint64(table.size - 1)
    slot = (key >> _FLAG_BITS) & mask
    while table[slot] != _ZERO and table[slot] & _KEY != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)  # type: ignore[return-value]  # as good as an int


@njit(cache=True, nogil=True)
def _known(table: Uint64s, old: Uint64s, key: np.uint64) -> int:
    """What is remembered of a key, in both generations."""
    found = (table[_slot(table, key)] | old[_slot(old, key)]) & _FLAGS
    return np.int64(found)  # type: ignore[return-value]  # as good as an int


@njit(cache=True, nogil=True)
def _note(table: Uint64s, key: np.uint64, what: int) -> int:
    """Remember more of a key; 1 where it is new."""
    slot = _slot(table, key)
    new = 1 if table[slot] == _ZERO else 0
    table[slot] |= key | np.uint64(what)
    return new


@njit(cache=True, nogil=True)
def keys_of(
    services: Uint64s,
    traces: Uint64s,
    ids: Uint64s,
    parents: Uint64s,
    responses: Uint64s,
    names: Uint64s,
) -> Uint64s:
    """What each row is remembered by, side by side: rows are decided in another order than they lie in.

    Args:
        services: a hash of each row's service.
        traces: `uint64[n, 2]`, zeros where unknown.
        ids: of the spans, 0 where unknown.
        parents: their parents', 0 where there is none.
        responses: a hash of what the provider calls its answer, 0 where unknown.
        names: a hash of each span's name.

    Returns:
        `uint64[n, 5]`: the span, its parent, the answer (0 where unknown); the answer and the span's name;
        the service and the span's name.
    """
    keys = np.zeros((services.size, 5), np.uint64)
    for row in range(services.size):
        trace = _mix(_mix(services[row], traces[row, 0]), traces[row, 1])
        # Without ids nothing can be told apart, so nothing is remembered.
        if ids[row] != _ZERO and (traces[row, 0] != _ZERO or traces[row, 1] != _ZERO):
            keys[row, 0] = _mix(trace, ids[row]) & _KEY | _LEAST
            if parents[row] != _ZERO:
                keys[row, 1] = _mix(trace, parents[row]) & _KEY | _LEAST
        if responses[row] != _ZERO:
            answer = _mix(services[row], responses[row])
            keys[row, 2] = answer & _KEY | _LEAST
            keys[row, 3] = _mix(answer, names[row]) & _KEY | _LEAST
        keys[row, 4] = _mix(_mix(services[row], names[row]), _ONE) & _KEY | _LEAST
    return keys


@njit(cache=True, nogil=True)
def decide(
    order: NDArray[np.int64],
    first: int,
    room: int,
    kinds: Bytes,
    keys: Uint64s,
    table: Uint64s,
    old: Uint64s,
    counts: NDArray[np.bool_],
) -> tuple[int, int]:
    """Decide rows from `order[first]` on, until there is no room for another.

    Args:
        order: the rows, in the order in which they ended.
        first: how many were decided before.
        room: keys that may be added.
        kinds: of each row `PLAIN` to `OTHER`.
        keys: as `keys_of` gives them.
        table: what is remembered; a power of two of slots, 0 where free.
        old: what was remembered before, only read.
        counts: set where a row is the call.

    Returns:
        rows decided, keys added.
    """
    added = 0
    for at in range(first, order.size):
        if added + 6 > room:
            return at, added
        row = order[at]
        kind = kinds[row]
        if kind == OTHER:
            continue
        me, above, answer, as_named, named = keys[row]
        has_id, has_parent = me != _ZERO, above != _ZERO
        of_me = _known(table, old, me) if has_id else 0
        if kind == PLAIN:
            if has_parent:
                if of_me & _COVERS:
                    added += _note(table, above, of_me & _COVERS)
                inside = _known(table, old, above) & _LIES_IN
                if inside:
                    added += _note(table, me, inside)
            continue
        below = BELOW << (kind - GENERATES)
        inside = INSIDE << (kind - GENERATES)
        of_above = _known(table, old, above) if has_parent else 0
        counted = of_me & (SEEN | below) == 0 and of_above & inside == 0
        if counted and answer == _ZERO:
            # A call that failed has no answer to know it by; but its like had another beside it.
            if _known(table, old, named) & BESIDE:
                counted = False
                added += _note(table, named, BESIDE)
        elif counted:
            # Another library's span of the same answer; the same library's is another call, which a
            # cache has answered.
            if _known(table, old, answer) != 0 and _known(table, old, as_named) == 0:
                counted = False
                added += _note(table, named, BESIDE)
            else:
                added += _note(table, answer, SEEN)
                added += _note(table, as_named, SEEN)
        if has_id:
            lies_in = inside if counted or of_above & inside else 0
            added += _note(table, me, of_me | SEEN | lies_in)
        if has_parent:
            added += _note(table, above, of_above | below | (of_me & _COVERS))
        counts[row] = counted
    return order.size, added


@njit(cache=True, nogil=True)
def rehash(table: Uint64s, larger: Uint64s) -> None:
    """Copy what is remembered into a larger table."""
    for found in table:
        if found != _ZERO:
            larger[_slot(larger, found & _KEY)] = found
