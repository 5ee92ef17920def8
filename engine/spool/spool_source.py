"""The flow's live source: payloads from the spool, in the order in which they were acknowledged.

The clock of what is read is the moment at which it was received, so that a replay after a restart decides
as before; once everything is read it is the engine's time, with a tick a second.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from engine.spool.arrivals import Arrivals
from engine.spool.clock import SECOND_NS
from engine.spool.replay import TICK, missed_ticks, recalled_since
from engine.spool.spool import Spool, Stored
from engine.telemetry.log import log

# One decision costs about the same however much came before it, so a backlog is read in big pieces.
PAYLOADS_PER_READ = 256
BYTES_PER_READ = 64 << 20
# Without a backlog, what comes within so long is decided on together.
PACE = timedelta(milliseconds=50)
# Bytewax reads at most one epoch ahead of what is processed, and resumes from the last whole snapshot:
# payloads before the one but two are never asked for again.
SNAPSHOTS_KEPT = 3


# What is remembered of spans is read again at a start (`Arrivals.recalled`), and kept in the spool for
# that; but where it is fuller than by this share of its limit, room is worth more.
FULLEST = 0.5


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on.

    Attributes:
        after: id of the last payload read.
        clock: Unix seconds.
        watermarks: newest arrival of (traces, metrics).
        spool: identity of the spool that was read; empty before the first.
    """

    after: int = 0
    clock: float = 0.0
    watermarks: tuple[float, float] = (0.0, 0.0)
    spool: str = ""


class SpoolSource(FixedPartitionedSource[Arrivals, Position]):
    """Reads one spool.

    Args:
        spool: of this process; None in a process of a cluster that has none.
        stopping: asked before each read; True ends the input, and so the flow, with a snapshot.
        lost: told how many acknowledged payloads can't be read any more and were not counted.
        decided_through: id of the last payload that this process has decided on; None where it has
            not run before, and all that is in the spool may have been.
    """

    def __init__(
        self,
        spool: Spool | None,
        stopping: Callable[[], bool],
        lost: Callable[[int], None] = lambda _payloads: None,
        decided_through: int | None = None,
    ) -> None:
        self.spool = spool
        self.stopping = stopping
        self.lost = lost
        self.decided_through = decided_through
        self.partition: SpoolPartition | None = None

    def list_parts(self) -> list[str]:
        """The spool, in the process that has it."""
        return ["spool"] if self.spool else []

    def build_part(
        self, _step_id: str, _for_part: str, resume_state: Position | None
    ) -> "SpoolPartition":
        """Read on where it was left."""
        if self.spool is None:
            raise ValueError("this process has no spool")
        self.partition = SpoolPartition(self.spool, self.stopping, resume_state, self.lost)
        if self.decided_through is not None:
            self.partition.replay_until = self.decided_through
            if self.partition.position.after >= self.decided_through:
                self.partition.ticked = 0.0  # nothing is replayed: every shard may decide at once
        return self.partition


class SpoolPartition(StatefulSourcePartition[Arrivals, Position]):
    """Reads the spool from a position on."""

    def __init__(
        self,
        spool: Spool,
        stopping: Callable[[], bool],
        resume: Position | None,
        lost: Callable[[int], None] = lambda _payloads: None,
    ) -> None:
        self.spool = spool
        self.stopping = stopping
        # What is in the spool already was, or could have been, decided on before the restart.
        self.replay_until = spool.last_id()
        self.position = self._resumed(resume or Position())
        self._report_missing(lost)
        self.resumed_after = self.position.after
        self.ticked = self.position.clock
        self.snapshots: deque[Position] = deque()
        self._recalling = self._recall()
        self.backlog = False
        self.idle_since = time.monotonic()

    def _resumed(self, position: Position) -> Position:
        # A snapshot of an earlier version names no spool.
        read = getattr(position, "spool", "") or self.spool.identity
        after, newest = position.after, self.replay_until
        if after > newest or read != self.spool.identity:
            log.warning(
                "the spool is another than the one read before; all of it is read"
                if read != self.spool.identity
                else "the spool lost payloads that had been counted; it is read on from its end",
                read_through=after,
                newest=newest,
            )
            self.spool.skip_to(after)
            after = 0 if read != self.spool.identity else newest
        return Position(after, position.clock, position.watermarks, self.spool.identity)

    def _report_missing(self, lost: Callable[[int], None]) -> None:
        missing = self.spool.missing_after(self.position.after)
        if missing:
            log.error(
                "acknowledged payloads that had not been counted are lost with the damaged spool",
                payloads=missing,
            )
            lost(missing)
        self.spool.forget_missing()

    def read_all_for(self, seconds: float) -> bool:
        """Whether there has been nothing to read for so long; asked from other threads."""
        return (
            self.position.after >= self.spool.last_id()
            and time.monotonic() - self.idle_since >= seconds
        )

    def replaying(self) -> bool:
        """Whether what is read was received before the start; asked from other threads."""
        return self.position.after < self.replay_until

    def unread_seconds(self) -> float:
        """How long ago the oldest unread payload came, at most; 0 where all are read."""
        position = self.position
        if position.after >= self.spool.last_id():
            return 0.0
        now = self.spool.clock.read().now_ns / 1e9
        return max(0.0, now - position.clock) if position.clock else 0.0

    def next_batch(self) -> list[Arrivals]:
        """What has been acknowledged since, or a tick when one is due."""
        if self.stopping():
            raise StopIteration
        recalled = next(self._recalling, None)
        if recalled is not None:
            self.backlog = True
            return [recalled]
        stored = self.spool.read(self.position.after, PAYLOADS_PER_READ, BYTES_PER_READ)
        read = sum(len(item.body) for item in stored)
        self.backlog = len(stored) == PAYLOADS_PER_READ or read > BYTES_PER_READ // 2
        if stored:
            self.idle_since = time.monotonic()
            return [
                arrivals
                for group in _same_second(stored)
                for arrivals in (*self._missed_ticks(group), self._arrivals(group))
            ]
        clock = max(self.spool.clock.read().now_ns / 1e9, self.position.clock)
        if clock - self.ticked >= TICK:
            self.ticked = clock
            self.position = replace(self.position, clock=clock)
            return [Arrivals(clock=clock, tick=True, watermarks=self.position.watermarks)]
        return []

    def next_awake(self) -> datetime | None:
        """At once while there is more to read."""
        return None if self.backlog else datetime.now(UTC) + PACE

    def snapshot(self) -> Position:
        """The position after what was last read; frees what no recovery will ask for again."""
        self.snapshots.append(self.position)
        while len(self.snapshots) > SNAPSHOTS_KEPT:
            # The oldest from which a recovery may go on, and what it recalls.
            since = recalled_since(self.snapshots[-SNAPSHOTS_KEPT].clock)
            full = self.spool.depth().bytes > FULLEST * self.spool.max_bytes
            if self.snapshots[0].clock >= since and not full:
                break
            self.spool.delete_through(self.snapshots.popleft().after)
        return self.position

    def close(self) -> None:
        """Nothing of its own to close: the spool is the process's."""

    def _recall(self) -> Iterator[Arrivals]:
        """What was read before the position and is still to be remembered."""
        since, until, after = recalled_since(self.position.clock), self.position.after, 0
        while after < until:
            stored = self.spool.read(after, PAYLOADS_PER_READ, BYTES_PER_READ)
            if not stored:
                return
            after = stored[-1].id
            again = [s for s in stored if s.id <= until and s.received_ns / 1e9 >= since]
            for group in _same_second(again):
                clock = group[-1].received_ns / 1e9
                traces = tuple(s.body for s in group if s.signal == "traces")
                yield Arrivals(clock=clock, traces=traces, live=False, recalled=True)

    def _missed_ticks(self, stored: list[Stored]) -> Iterator[Arrivals]:
        """In a replay, the ticks that came while nothing did: what ended then has to end again."""
        until = stored[-1].received_ns / 1e9
        if stored[-1].id > self.replay_until:
            return
        for ticked in missed_ticks(self.ticked, until):
            self.ticked = ticked
            clock = max(self.ticked, self.position.clock)
            yield Arrivals(clock, live=False, tick=True, watermarks=self.position.watermarks)

    def _arrivals(self, stored: list[Stored]) -> Arrivals:
        received = stored[-1].received_ns / 1e9
        clock = max(received, self.position.clock)
        traces = tuple(s.body for s in stored if s.signal == "traces")
        metrics = tuple(s.body for s in stored if s.signal == "metrics")
        marks = self.position.watermarks
        marks = (clock if traces else marks[0], clock if metrics else marks[1])
        self.position = replace(self.position, after=stored[-1].id, clock=clock, watermarks=marks)
        tick = clock - self.ticked >= TICK
        if tick:
            self.ticked = clock
        return Arrivals(
            clock=clock,
            traces=traces,
            metrics=metrics,
            live=stored[-1].id > self.replay_until,
            tick=tick,
            watermarks=marks,
            ahead_ns=stored[-1].ahead_ns,
            doubt_ns=stored[-1].doubt_ns,
        )


def _same_second(stored: list[Stored]) -> Iterator[list[Stored]]:
    """Split where the second of receipt changes, so that a backlog is decided on as finely as live.

    And where the clock was stepped, as a batch is placed by one clock.
    """
    return (list(group) for _, group in groupby(stored, _seconds))


def _seconds(item: Stored) -> tuple[int, ...]:
    return tuple(n // SECOND_NS for n in (item.received_ns, item.ahead_ns, item.doubt_ns))
