"""What was read of a partition, as the flow takes it: by seconds, with the ticks that a replay lacks."""

from collections.abc import Callable, Iterator, Sequence

from engine.kafka.timestamps import Read, same_second
from engine.spool.arrivals import Arrivals
from engine.spool.clock import Moment
from engine.spool.replay import TICK, missed_ticks
from slo.origins import Origin

Marks = tuple[float, float]


class Emitter:
    """The arrivals of one partition.

    Args:
        metrics: it holds metrics, and traces otherwise.
        origin: says which partition, of how many.
        clock: of the last message, Unix seconds.
        watermarks: newest arrival of (traces, metrics).

    Attributes:
        clock: as it is now.
        watermarks: likewise.
    """

    def __init__(
        self, origin: Callable[[], Origin], clock: float, watermarks: Marks, *, metrics: bool
    ) -> None:
        self.clock = clock
        self.watermarks = watermarks
        self._origin = origin
        self._metrics = metrics
        self._ticked = clock

    def recalled(self, read: Sequence[Read]) -> Iterator[Arrivals]:
        """What was counted before a restart, to be remembered."""
        for group in same_second(read, 0):
            bodies = tuple(each.body for each in group if each.body)
            yield Arrivals(
                group[-1].clock, traces=bodies, live=False, recalled=True, origin=self._origin()
            )

    def arrivals(
        self, read: Sequence[Read], replay_until: int, moment: Moment
    ) -> Iterator[Arrivals]:
        """What is counted.

        Args:
            read: messages in their order.
            replay_until: what is before this offset is replayed.
            moment: now, by the engine's clock.
        """
        for group in same_second(read, replay_until):
            live = group[-1].offset >= replay_until
            if not live:
                yield from self._missed_ticks(group[-1].clock)
            yield self._of(group, moment, live=live)

    def tick(self, clock: float, *, live: bool = True, marks: Marks | None = None) -> Arrivals:
        """A tick, of this partition or, with their newest arrivals, for all."""
        marks = self.watermarks if marks is None else marks
        return Arrivals(clock, live=live, tick=True, watermarks=marks, origin=self._origin())

    def _missed_ticks(self, until: float) -> Iterator[Arrivals]:
        """In a replay, the ticks that came while nothing did: what ended then has to end again."""
        for ticked in missed_ticks(self._ticked, until):
            self._ticked = ticked
            yield self.tick(max(self._ticked, self.clock), live=False)

    def _of(self, group: list[Read], moment: Moment, *, live: bool) -> Arrivals:
        self.clock = clock = group[-1].clock
        bodies = tuple(each.body for each in group if each.body)
        if bodies:
            traces, metrics = self.watermarks
            self.watermarks = (traces, clock) if self._metrics else (clock, metrics)
        tick = not live and clock - self._ticked >= TICK
        if tick:
            self._ticked = clock
        return Arrivals(
            clock=clock,
            traces=() if self._metrics else bodies,
            metrics=bodies if self._metrics else (),
            live=live,
            tick=tick,
            watermarks=self.watermarks,
            ahead_ns=moment.ahead_ns if live else 0,
            doubt_ns=moment.doubt_ns if live else 0,
            origin=self._origin(),
        )
