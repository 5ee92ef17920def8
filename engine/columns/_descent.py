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
_ONE, _MANY = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
_ZERO = np.uint64(0)


@njit(cache=True, nogil=True, inline="always")
def _mix(code: np.uint64, value: np.uint64) -> np.uint64:
    code = (code ^ value) * _ONE
    code = (code ^ (code >> _SHIFT)) * _MANY
    return code ^ (code >> _SHIFT)


@njit(cache=True, nogil=True)
def _slot(keys: Uint64s, key: np.uint64) -> int:
    """Where a key stands, or would."""
    mask = np.uint64(keys.size - 1)
    slot = key & mask
    while keys[slot] != _ZERO and keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)  # type: ignore[return-value]  # as good as an int


@njit(cache=True, nogil=True)
def _known(keys: Uint64s, flags: Bytes, old_keys: Uint64s, old_flags: Bytes, key: np.uint64) -> int:
    """What is remembered of a key, in both generations."""
    new, old = flags[_slot(keys, key)], old_flags[_slot(old_keys, key)]
    return np.int64(new | old)  # type: ignore[return-value]  # as good as an int


@njit(cache=True, nogil=True)
def _note(keys: Uint64s, flags: Bytes, key: np.uint64, what: int) -> int:
    """Remember more of a key; 1 where it is new."""
    slot = _slot(keys, key)
    new = 1 if keys[slot] == _ZERO else 0
    keys[slot] = key
    flags[slot] |= np.uint8(what)
    return new


@njit(cache=True, nogil=True)
def decide(
    order: NDArray[np.int64],
    first: int,
    room: int,
    kinds: Bytes,
    services: Uint64s,
    traces: Uint64s,
    ids: Uint64s,
    parents: Uint64s,
    responses: Uint64s,
    names: Uint64s,
    keys: Uint64s,
    flags: Bytes,
    old_keys: Uint64s,
    old_flags: Bytes,
    counts: NDArray[np.bool_],
) -> tuple[int, int]:
    """Decide rows from `order[first]` on, until there is no room for another.

    Args:
        order: the rows, in the order in which they ended.
        first: how many were decided before.
        room: keys that may be added.
        kinds: of each row `PLAIN` to `OTHER`.
        services: a hash of each row's service.
        traces: `uint64[n, 2]`, zeros where unknown.
        ids: of the spans, 0 where unknown.
        parents: their parents', 0 where there is none.
        responses: a hash of what the provider calls its answer, 0 where unknown.
        names: a hash of each span's name.
        keys: what is remembered; a power of two of them, 0 where free.
        flags: of each key.
        old_keys: what was remembered before, only read.
        old_flags: of each of those.
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
        trace = _mix(_mix(services[row], traces[row, 0]), traces[row, 1])
        # Without ids nothing can be told apart, so nothing is remembered.
        has_id = ids[row] != _ZERO and (traces[row, 0] != _ZERO or traces[row, 1] != _ZERO)
        has_parent = has_id and parents[row] != _ZERO
        me = _mix(trace, ids[row]) | np.uint64(1)
        above = _mix(trace, parents[row]) | np.uint64(1)
        of_me = _known(keys, flags, old_keys, old_flags, me) if has_id else 0
        if kind == PLAIN:
            if has_parent:
                if of_me & _COVERS:
                    added += _note(keys, flags, above, of_me & _COVERS)
                inside = _known(keys, flags, old_keys, old_flags, above) & _LIES_IN
                if inside:
                    added += _note(keys, flags, me, inside)
            continue
        below = BELOW << (kind - GENERATES)
        inside = INSIDE << (kind - GENERATES)
        of_above = _known(keys, flags, old_keys, old_flags, above) if has_parent else 0
        counted = of_me & (SEEN | below) == 0 and of_above & inside == 0
        answer = _mix(services[row], responses[row]) | np.uint64(1)
        as_named = _mix(answer, names[row]) | np.uint64(1)
        named = _mix(_mix(services[row], names[row]), _ONE) | np.uint64(1)
        if counted and responses[row] == _ZERO:
            # A call that failed has no answer to know it by; but its like had another beside it.
            if _known(keys, flags, old_keys, old_flags, named) & BESIDE:
                counted = False
                added += _note(keys, flags, named, BESIDE)
        elif counted:
            # Another library's span of the same answer; the same library's is another call, which a
            # cache has answered.
            if (
                _known(keys, flags, old_keys, old_flags, answer) != 0
                and _known(keys, flags, old_keys, old_flags, as_named) == 0
            ):
                counted = False
                added += _note(keys, flags, named, BESIDE)
            else:
                added += _note(keys, flags, answer, SEEN)
                added += _note(keys, flags, as_named, SEEN)
        if has_id:
            lies_in = inside if counted or of_above & inside else 0
            added += _note(keys, flags, me, of_me | SEEN | lies_in)
        if has_parent:
            added += _note(keys, flags, above, of_above | below | (of_me & _COVERS))
        counts[row] = counted
    return order.size, added


@njit(cache=True, nogil=True)
def rehash(keys: Uint64s, flags: Bytes, new_keys: Uint64s, new_flags: Bytes) -> None:
    """Copy what is remembered into a larger table."""
    for slot in range(keys.size):
        if keys[slot] != _ZERO:
            _note(new_keys, new_flags, keys[slot], flags[slot])
