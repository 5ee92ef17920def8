"""What the partitions of one process know of each other: who is live, how far all are, and who ticks."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from engine.kafka.places import Place
from engine.kafka.position import Position
from engine.spool.clock import Clock
from engine.spool.replay import TICK


class Member(Protocol):
    """A partition that is read in this process."""

    place: Place
    position: Position
    live: bool
    begun: bool
    replay_until: int
    resumed_at: int
    behind: int
    idle_since: float

    @property
    def exists(self) -> bool:
        """Whether there is such a partition."""

    @property
    def stuck(self) -> bool:
        """Whether it can't be read, and nobody waits for it."""

    @property
    def caught_up(self) -> bool:
        """Whether all that it holds has been read."""


@dataclass(frozen=True, slots=True)
class ReadTo:
    """How far all partitions are read.

    Attributes:
        clock: Unix seconds of the slowest; 0 before the first message.
        watermarks: newest arrival of (traces, metrics).
    """

    clock: float
    watermarks: tuple[float, float]


class Crew:
    """The partitions that one flow of this process reads; used by all of its workers.

    Args:
        clock: the engine's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[Place, Member] = {}
        self._lock = threading.Lock()
        self._ticked = 0.0

    def join(self, member: Member) -> None:
        """Take a partition in."""
        with self._lock:
            self._members[member.place] = member

    def members(self) -> list[Member]:
        """Those of partitions that exist."""
        with self._lock:
            return [member for member in self._members.values() if member.exists]

    def tick(self, place: Place, now: float, parts: int) -> float | None:
        """The clock of a tick that is due, for whoever asks first; None for none.

        It is no later than what the slowest partition has read to: decisions must not be ahead of it.

        Args:
            place: who asks.
            now: Unix seconds.
            parts: how many partitions there are, in all processes.
        """
        with self._lock:
            members = [member for member in self._members.values() if member.exists]
            if members and not all(member.live for member in members):
                return None
            if not members and (parts or place != min(self._members)):
                return None  # others tick; where there are none at all yet, one slot does
            clock = _slowest(members, now)
            if clock - self._ticked < TICK:
                return None
            self._ticked = clock
            return clock

    def live(self) -> bool:
        """Whether every partition is."""
        return all(member.live for member in self.members())

    # What follows is what `Vitals` and `Attention` ask, from other threads.

    @property
    def position(self) -> ReadTo:
        """How far all are read."""
        positions = [member.position for member in self.members()]
        return ReadTo(
            min((p.clock for p in positions if p.clock), default=0.0), watermarks(positions)
        )

    @property
    def replay_until(self) -> int:
        """Messages that were there before the start, in all partitions; with `resumed_after`."""
        return sum(member.replay_until for member in self.members())

    @property
    def resumed_after(self) -> int:
        """See `replay_until`."""
        return sum(min(member.resumed_at, member.replay_until) for member in self.members())

    def begun(self) -> bool:
        """Whether it is known of every partition what there is to read."""
        return all(member.begun or member.stuck for member in self.members())

    def replaying(self) -> bool:
        """Whether what is read was there before the start."""
        return not self.live()

    def read_all_for(self, seconds: float) -> bool:
        """Whether there has been nothing to read for so long."""
        moment = time.monotonic() - seconds
        return all(m.caught_up and m.live and m.idle_since <= moment for m in self.members())

    def unread_seconds(self, topic: str | None = None) -> float:
        """How long ago the oldest unread message was written, at most; 0 where all are read.

        Args:
            topic: of this one alone.
        """
        clocks = [
            member.position.clock
            for member in self.members()
            if not member.caught_up
            and member.position.clock
            and topic in {None, member.place.topic}
        ]
        return max(0.0, self._clock.read().now_ns / 1e9 - min(clocks)) if clocks else 0.0


def watermarks(positions: Iterable[Position]) -> tuple[float, float]:
    """The newest arrival of (traces, metrics) in several partitions."""
    marks = [position.watermarks for position in positions] or [(0.0, 0.0)]
    return max(mark[0] for mark in marks), max(mark[1] for mark in marks)


def _slowest(members: Iterable[Member], now: float) -> float:
    return min((m.position.clock for m in members if not (m.caught_up or m.stuck)), default=now)
