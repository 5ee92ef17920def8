"""Reads one partition of a topic, from a position on."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import KafkaError

from engine.kafka.beginning import MADE_ANEW, beginning
from engine.kafka.crew import watermarks
from engine.kafka.decoding import Decoder
from engine.kafka.emitting import Emitter
from engine.kafka.errors import OUT_OF_RANGE, PARTITION_END
from engine.kafka.places import Place
from engine.kafka.position import ABSENT, UNREAD, Position
from engine.kafka.reader import Reader
from engine.kafka.shared import Shared
from engine.kafka.timestamps import Read, clock_of
from engine.kafka.topics import Bounds
from engine.spool.arrivals import Arrivals
from engine.spool.clock import Moment
from engine.spool.replay import recalled_since
from engine.spool.spool_source import PACE
from engine.telemetry.log import log
from slo.origins import Origin

# A partition that tells nothing for so long, although there is more, is waited for no longer.
STUCK_SECONDS = 10.0
# How often a slot looks whether its partition has come.
LOOK = timedelta(seconds=1)


class KafkaPartition(StatefulSourcePartition[Arrivals, Position]):
    """Reads one partition, or waits for it to come.

    Args:
        place: which.
        shared: with the others.
        reader: of this worker.
        resume: where it was left; None the first time.
        leave: called when it is closed.

    Attributes:
        live: what was there at the start has been read, or can't be.
        begun: it is known what there is to read, and it is being read.
        replay_until: what is before this offset was there at the start.
        resumed_at: where reading began.
        behind: messages, at most, that are not read yet.
        idle_since: monotonic seconds since which nothing was read.
    """

    def __init__(
        self,
        place: Place,
        shared: Shared,
        reader: Reader,
        resume: Position | None,
        leave: Callable[[Place], None] = lambda _place: None,
    ) -> None:
        self.place = place
        self._shared = shared
        self._reader = reader
        self._leave = leave
        self._topics = shared.topics
        self.position = resume or Position(UNREAD if self.exists else ABSENT)
        # One that comes later was never read by anyone: it is live from its first message on.
        self._is_new = not self.exists
        self.live = False
        self.begun = False
        self.replay_until = 0
        self.resumed_at = 0
        self.behind = 0
        self.idle_since = self._heard = time.monotonic()
        self.stuck = False
        self._recall_from: int | None = None
        self._at_end = False
        self._backlog = False
        # A slot may be one of a topic that is read no more.
        self._signal = shared.signals.get(place.topic, "traces")
        self._emitter = Emitter(
            self._origin,
            self.position.clock,
            self.position.watermarks,
            metrics=self._signal == "metrics",
        )
        self._decoder = Decoder(
            place,
            self._signal,
            shared.settings.encoding,
            shared.tallies,
            shared.dead_letters,
            self.position.undelivered,
        )
        shared.clock.not_before(int(self.position.clock * 1e9))
        shared.crew.join(self)

    @property
    def exists(self) -> bool:
        """Whether there is such a partition."""
        return self._topics.exists(self.place)

    @property
    def caught_up(self) -> bool:
        """Whether all that it holds has been read."""
        return self.begun and (self._at_end or not self.behind)

    def next_batch(self) -> list[Arrivals]:
        """What has come since, or a tick when one is due."""
        if self._shared.stopping():
            self._shared.dead_letters.settle()
            raise StopIteration
        self._backlog = False
        moment = self._shared.clock.read()
        found: list[Arrivals] = []
        if self.exists:
            if self.begun and self._made_anew():
                self._restart()
            if self.begun or self._begin():
                found = self._read(moment)
                self._backlog = self._reader.waiting(self.place)
                self._look_how_far()
            self._look_whether_stuck()
            found += self._becoming_live(moment)
        return found + self._tick(moment)

    def next_awake(self) -> datetime | None:
        """At once while there is more to read; else together with the worker's other partitions."""
        if self._backlog:
            return None
        pace = PACE if self.exists else LOOK
        now = datetime.now(UTC)
        return now + pace - timedelta(seconds=now.timestamp() % pace.total_seconds())

    def snapshot(self) -> Position:
        """The position after what was last read."""
        self.position = replace(
            self.position, undelivered=tuple(sorted(self._decoder.undelivered.copy()))
        )
        if self.begun:
            self._reader.commit(self.place, self.position.offset)
        return self.position

    def close(self) -> None:
        """Leave the worker's consumer."""
        self._leave(self.place)

    def _origin(self) -> Origin:
        return Origin(str(self.place), self._topics.parts())

    def _begin(self) -> bool:
        """Find out what there is to read, and begin; False while nobody has answered."""
        since = None
        if self.position.clock and self._signal == "traces":
            since = int(recalled_since(self.position.clock) * 1e3)
        bounds = self._topics.bounds(self.place, since)
        if bounds is None:
            return False
        offset = self._beginning(bounds)
        decided = self._shared.decided.get(self.place, bounds.end)
        self.replay_until = 0 if self._is_new else min(decided, bounds.end)
        self.resumed_at = offset
        recalls = bounds.since is not None and not self._is_new and bounds.since < offset
        self._recall_from = max(bounds.since or 0, bounds.low) if recalls else None
        self._at_end = offset >= bounds.end
        self.behind = max(0, bounds.end - offset)
        self._decoder.send_again()
        self._reader.begin(
            self.place, self._recall_from if self._recall_from is not None else offset
        )
        self.begun = True
        self._heard = time.monotonic()
        return True

    def _beginning(self, bounds: Bounds) -> int:
        """The offset to read from, which becomes the position's."""
        topic_id = self._topics.ids[self.place.topic]
        found = beginning(self.position, bounds, topic_id, self._shared.settings.first)
        if found.trouble:
            log.error(
                found.trouble,
                partition=str(self.place),
                read_to=self.position.offset,
                begins=bounds.low,
                ends=bounds.end,
            )
        if found.missing:
            self._shared.lost(self.place.topic, found.missing)
        if found.trouble == MADE_ANEW:
            self._decoder.undelivered.clear()  # they were the other topic's
        self.position = replace(self.position, offset=found.offset, topic_id=topic_id)
        return found.offset

    def _made_anew(self) -> bool:
        found = self._topics.ids[self.place.topic]
        return bool(found and self.position.topic_id and found != self.position.topic_id)

    def _restart(self) -> None:
        """Begin again: the topic was made anew, or the offset is none of the partition's."""
        self._reader.drop(self.place)
        self.begun = False
        self._recall_from = None
        self._heard = time.monotonic()
        # Nobody has decided on what is found now.
        self._is_new = self._is_new or self.live

    def _read(self, moment: Moment) -> list[Arrivals]:
        read: list[Read] = []
        recalled: list[Read] = []
        messages = self._reader.take(self.place)
        if messages:
            self._hears()
        # What is recalled is no longer counted, and so decoded by itself.
        at_once = self._recall_from is None
        bodies = self._decoder.all_at_once(messages, self.position.offset) if at_once else {}
        for message in messages:
            error, offset = message.error(), message.offset()
            if error is not None:
                if not self._failed(error, offset):
                    break
                continue
            if offset is None or (offset < self.position.offset and self._recall_from is None):
                continue
            self._at_end = False
            self.idle_since = self._heard
            if offset < self.position.offset:
                clock = min(clock_of(message, moment, 0.0), self.position.clock)
                recalled.append(Read(offset, clock, self._decoder.body_again(message)))
                continue
            self._recall_from = None
            clock = clock_of(message, moment, read[-1].clock if read else self.position.clock)
            body = bodies.get(offset)
            read.append(
                Read(offset, clock, self._decoder.body(message, offset) if body is None else body)
            )
            self.position = replace(self.position, offset=offset + 1)
        # Once it is live, it is: others do not wait for it again.
        until = 0 if self.live else self.replay_until
        found = [
            *self._emitter.recalled(recalled),
            *self._emitter.arrivals(read, until, moment),
        ]
        self.position = replace(
            self.position, clock=self._emitter.clock, watermarks=self._emitter.watermarks
        )
        return found

    def _hears(self) -> None:
        self._heard = time.monotonic()
        if self.stuck:
            self.stuck = False
            log.info("a partition is read again", partition=str(self.place))

    def _failed(self, error: KafkaError, offset: int | None) -> bool:
        """What the consumer says instead of a message; whether to go on."""
        code = error.code()
        if code == PARTITION_END:
            # Transactions leave marks, and compaction leaves gaps, that are no messages.
            if offset is not None and offset >= self.position.offset:
                self.position = replace(self.position, offset=offset)
                self._at_end = True
                self._recall_from = None
            return True
        if code in OUT_OF_RANGE:
            self._restart()
            return False
        self._shared.trouble(error)
        return True

    def _look_how_far(self) -> None:
        high = self._reader.high(self.place)
        if high >= 0:
            self.behind = max(0, high - self.position.offset)

    def _look_whether_stuck(self) -> None:
        """Wait no longer for a partition that can't be read: without a leader, or out of reach."""
        silent = time.monotonic() - self._heard
        if self.stuck or silent < STUCK_SECONDS or (self.begun and self.caught_up):
            return
        self.stuck = True
        log.warning(
            "a partition can't be read; the others go on without it",
            partition=str(self.place),
            seconds=round(silent),
        )

    def _becoming_live(self, moment: Moment) -> list[Arrivals]:
        """Tell every shard, once, that what was there at the start has been read."""
        read = self.begun and self.position.offset >= self.replay_until
        if self.live or not (read or self.stuck):
            return []
        self.live = True
        return [self._emitter.tick(self.position.clock or moment.now_ns / 1e9)]

    def _tick(self, moment: Moment) -> list[Arrivals]:
        """A tick for all, where this partition is the first to see that one is due."""
        crew = self._shared.crew
        clock = crew.tick(self.place, moment.now_ns / 1e9, self._topics.parts())
        if clock is None:
            return []
        marks = watermarks(member.position for member in crew.members())
        return [self._emitter.tick(clock, marks=marks)]
