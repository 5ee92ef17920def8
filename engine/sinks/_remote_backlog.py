"""Samples that wait for a receiver of remote write: in order, bounded in time and in bytes."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.sinks._families import Floats

# A request holds so many samples at most, as Prometheus's own do.
CHUNK = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Every series at one instant; shared by the backlogs of all receivers.

    Attributes:
        stamp: the time of all of them, encoded (`engine.sinks._remote_protobuf.encode_time`).
        taken: monotonic seconds.
        series: encoded (`engine.sinks._remote_protobuf.encode_series`); the same list until it changes.
        values: one each.
        nbytes: memory that is held for these alone.
    """

    stamp: bytes
    taken: float
    series: list[bytes]
    values: Floats
    nbytes: int


class Chunk(NamedTuple):
    """A request's share of samples: those from `start` up to `stop`."""

    samples: Samples
    start: int
    stop: int


@dataclass(slots=True)
class Backlog:
    """What one receiver has not taken yet, oldest first; used by one event loop.

    Attributes:
        keep_seconds: how long samples wait before they are dropped.
        max_bytes: how much memory may wait.
        pending: samples that wait.
    """

    keep_seconds: float
    max_bytes: int
    pending: int = 0
    _waiting: deque[Samples] = field(default_factory=deque)
    _bytes: int = 0
    _begun: int = 0  # samples of the oldest that were taken, or refused
    _out: Chunk | None = None  # what is being sent
    _adrift: int = 0  # samples of it that were forgotten meanwhile

    def add(self, samples: Samples) -> int:
        """Let samples wait behind the others; the newest are never dropped.

        Returns:
            How many older ones were dropped for it. What is being sent is not among them: its answer tells
            whether it was taken, or, by `failed`, dropped.
        """
        self._waiting.append(samples)
        self._bytes += samples.nbytes
        before, adrift = self.pending, self._adrift
        self.pending += len(samples.series)
        while len(self._waiting) > 1 and (
            samples.taken - self._waiting[0].taken > self.keep_seconds
            or self._bytes > self.max_bytes
        ):
            self._forget_oldest()
        return before + len(samples.series) - self.pending - (self._adrift - adrift)

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def begin(self) -> Chunk | None:
        """What to send now; None when nothing waits. `done` or `failed` has to follow."""
        if not self._waiting:
            return None
        oldest = self._waiting[0]
        self._out = Chunk(oldest, self._begun, min(self._begun + CHUNK, len(oldest.series)))
        return self._out

    def failed(self) -> int:
        """What was being sent was not taken; how many samples of it are dropped by that."""
        dropped, self._out, self._adrift = self._adrift, None, 0
        return dropped

    def done(self, chunk: Chunk) -> None:
        """A chunk need not be sent again; one that was forgotten meanwhile is not waited for anyway."""
        if self._out == chunk:
            self._out, self._adrift = None, 0
        if self._waiting and self._waiting[0] is chunk.samples and self._begun == chunk.start:
            self.pending -= chunk.stop - chunk.start
            self._begun = chunk.stop
            if self._begun >= len(chunk.samples.series):
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._waiting.popleft()
        if self._out is not None and self._out.samples is oldest:
            self._adrift += self._out.stop - self._out.start
        self._bytes -= oldest.nbytes
        self.pending -= len(oldest.series) - self._begun
        self._begun = 0
