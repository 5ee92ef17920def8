"""What is remembered of the last minute's spans, so that a model call counts once.

docs/decisions/0015-one-call-once.md has the rule and its reasons.
"""

import threading
from collections.abc import Callable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from engine.columns import _descent
from engine.columns._texts import Texts
from engine.spool.arrivals import GENERATION
from slo.columns import Column, Kind, SpanBatch

# Keys of a generation; a call takes up to five. Beyond it a generation ends early.
MOST_KEYS = 1 << 20
_LEAST_SLOTS = 1 << 11


class CallMemory:
    """Tells the span that stands for a call from the others that libraries make of it.

    One is shared by all threads that read spans.

    Args:
        most_keys: of a generation.
        shortened: told whenever a generation had to end early.
    """

    def __init__(
        self, most_keys: int = MOST_KEYS, shortened: Callable[[], None] = lambda: None
    ) -> None:
        self._most = most_keys
        self._epoch = 0
        self._new, self._old = _Table(), _Table()
        self.shortened = shortened
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether nothing is remembered."""
        return not (self._new.used or self._old.used)

    def move_to(self, clock: float) -> None:
        """Forget what is too old at a time, in Unix seconds of receipt; time never goes back."""
        epoch = int(clock // GENERATION)
        with self._lock:
            if epoch <= self._epoch:
                return
            self._old = self._new if epoch == self._epoch + 1 else _Table()
            self._new = _Table()
            self._epoch = epoch

    def clear(self) -> None:
        """Forget all: what was read was not counted after all."""
        with self._lock:
            self._new, self._old = _Table(), _Table()

    def decide(
        self,
        batch: SpanBatch,
        kinds: NDArray[np.uint8],
        services: NDArray[np.uint64],
        ids: tuple[NDArray[np.uint64], NDArray[np.uint64]],
        responses: NDArray[np.uint64],
        names: NDArray[np.uint64],
    ) -> NDArray[np.bool_]:
        """Which rows stand for a call.

        Args:
            batch: whose spans they are.
            kinds: `_descent.PLAIN` to `OTHER`.
            services: hashes.
            ids: of the spans, of their parents.
            responses: hashes, 0 for none.
            names: hashes.
        """
        counts = np.zeros(len(batch), np.bool_)
        # Exporters put the spans of one library together; children end before their parents.
        order = _descent.in_time(batch.start_ns, batch.end_ns)
        traces = np.ascontiguousarray(batch.trace_ids).view(np.uint64).reshape(len(batch), 2)
        keys = _descent.keys_of(services, traces, *ids, responses, names)
        at = 0
        with self._lock:
            while at < len(order):
                room = self._make_room()
                at, added = _descent.decide(
                    order, at, room, kinds, keys, self._new.keys, self._old.keys, counts
                )
                self._new.used += added
        return counts

    def _make_room(self) -> int:
        """Room for more keys, half of the table at most being used."""
        table = self._new
        if table.used * 2 + 16 > table.keys.size:
            if table.keys.size >= 2 * self._most:
                self._old, self._new = table, _Table()
                self.shortened()
            else:
                self._new = table.grown()
        return self._new.keys.size // 2 - self._new.used


class _Table:
    """Keys of a generation, each with what is remembered of it."""

    def __init__(self, slots: int = _LEAST_SLOTS) -> None:
        self.keys = np.zeros(slots, np.uint64)
        self.used = 0

    def grown(self) -> "_Table":
        larger = _Table(self.keys.size * 4)
        _descent.rehash(self.keys, larger.keys)
        larger.used = self.used
        return larger


def hashes(column: Column, texts: Texts) -> NDArray[np.uint64]:
    """A hash of each row's text, the same in every process; 0 for none."""
    found = np.zeros(len(column.kinds), np.uint64)
    are_texts = column.kinds == Kind.STRING
    if are_texts.any():
        table = np.zeros(len(texts.strings), np.uint64)
        codes = column.bits[are_texts]
        used = texts.used(codes)
        digests = b"".join(
            blake2b(texts.strings[code].encode(), digest_size=8).digest() for code in used
        )
        table[used] = np.frombuffer(digests, np.uint64) | np.uint64(1)
        found[are_texts] = table[codes]
    return found


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache."""
    zeros = np.zeros(1, np.uint64)
    batch = SpanBatch(zeros, zeros, {}, (), np.zeros((1, 16), np.uint8))
    CallMemory().decide(batch, np.zeros(1, np.uint8), zeros, (zeros, zeros), zeros, zeros)
    _Table().grown()
