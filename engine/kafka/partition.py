"""Reads one partition of a topic, from a position on."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import KafkaError, Message

from engine.columns.accepting import Sent, Unreadable
from engine.kafka.crew import TICK, Crew, watermarks
from engine.kafka.dead_letters import DeadLetters, Letter
from engine.kafka.errors import OUT_OF_RANGE, PARTITION_END, Seldom, Trouble
from engine.kafka.payloads import Tally, payload_of, payloads_of
from engine.kafka.places import Place
from engine.kafka.position import ABSENT, UNREAD, Position
from engine.kafka.reader import Reader
from engine.kafka.settings import KafkaSettings
from engine.kafka.timestamps import Read, clock_of, same_second
from engine.kafka.topics import Bounds, Topics
from engine.spool.arrivals import GENERATION, Arrivals
from engine.spool.clock import Clock, Moment
from engine.spool.spool_source import LONGEST_PAUSE, PACE
from engine.telemetry.log import log
from slo.origins import Origin

# A partition that tells nothing for so long, although there is more, is waited for no longer.
STUCK_SECONDS = 10.0
# How often a slot looks whether its partition has come.
LOOK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the partitions of a flow share.

    Attributes:
        settings: how to read.
        topics: what there is.
        crew: the partitions of this process.
        clock: the engine's.
        tallies: by topic, what counts its messages.
        signals: of each topic.
        dead_letters: takes what can't be decoded.
        trouble: takes errors.
        lost: told the topic, and how many messages were gone before they were read.
        stopping: asked before each read; True ends the input, and so the flow, with a snapshot.
        cluster: other processes are told when this one ends.
        decided: offset that this process has decided up to, by partition; what is beyond is live at once.
    """

    settings: KafkaSettings
    topics: Topics
    crew: Crew
    clock: Clock
    tallies: dict[str, Tally]
    signals: dict[str, Sent]
    dead_letters: DeadLetters
    trouble: Trouble
    lost: Callable[[str, int], None]
    stopping: Callable[[], bool]
    cluster: bool
    decided: dict[Place, int]


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
        self._undelivered: set[int] = set(self.position.undelivered)
        self._heard_before = False
        self._recall_from: int | None = None
        self._at_end = False
        self._backlog = False
        self._ended = False
        self._ticked = self.position.clock
        self._seldom = Seldom()
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
            return self._ending()
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
        if self._backlog or self._ended:
            return None
        pace = PACE if self.exists else LOOK
        now = datetime.now(UTC)
        return now + pace - timedelta(seconds=now.timestamp() % pace.total_seconds())

    def snapshot(self) -> Position:
        """The position after what was last read."""
        self.position = replace(self.position, undelivered=tuple(sorted(self._undelivered.copy())))
        if self.begun:
            self._reader.commit(self.place, self.position.offset)
        return self.position

    def close(self) -> None:
        """Leave the worker's consumer."""
        self._leave(self.place)

    def _ending(self) -> list[Arrivals]:
        """The last batch: one partition of the process tells the others."""
        self._shared.dead_letters.settle()
        if self._ended or not self._shared.cluster or not self._shared.crew.ends():
            raise StopIteration
        self._ended = True
        clock = self.position.clock or self._shared.clock.read().now_ns / 1e9
        return [
            Arrivals(
                clock,
                live=self._shared.crew.live(),
                tick=True,
                watermarks=self.position.watermarks,
                origin=self._origin()._replace(ending=True),
            )
        ]

    def _origin(self) -> Origin:
        return Origin(str(self.place), self._topics.parts())

    def _begin(self) -> bool:
        """Find out what there is to read, and begin; False while nobody has answered."""
        since = None
        if self.position.clock and self._shared.signals[self.place.topic] == "traces":
            since = int(_recalled_since(self.position) * 1e3)
        bounds = self._topics.bounds(self.place, since)
        if bounds is None:
            return False
        offset = self._beginning(bounds)
        self.position = replace(
            self.position, offset=offset, topic_id=self._topics.ids[self.place.topic]
        )
        decided = self._shared.decided.get(self.place, bounds.end)
        self.replay_until = 0 if self._is_new else min(decided, bounds.end)
        self.resumed_at = offset
        recalls = bounds.since is not None and not self._is_new and bounds.since < offset
        self._recall_from = max(bounds.since or 0, bounds.low) if recalls else None
        self._at_end = offset >= bounds.end
        self.behind = max(0, bounds.end - offset)
        if not self._heard_before:
            self._heard_before = True
            self._shared.dead_letters.again(self.place, self._undelivered)
        self._reader.begin(
            self.place, self._recall_from if self._recall_from is not None else offset
        )
        self.begun = True
        self._heard = time.monotonic()
        return True

    def _beginning(self, bounds: Bounds) -> int:
        """The offset to read from."""
        before, now = self.position.topic_id, self._topics.ids[self.place.topic]
        offset = self.position.offset
        if offset == UNREAD:
            return bounds.end if self._shared.settings.first == "latest" else bounds.low
        if offset == ABSENT:
            return bounds.low
        anew = before != now if before and now else offset > bounds.end
        if anew:
            log.error(
                "the topic is another than the one read before; all of it is read",
                partition=str(self.place),
                read_to=offset,
                end=bounds.end,
            )
            self._undelivered.clear()  # they were the other topic's
            return bounds.low
        if offset > bounds.end:
            log.error(
                "the brokers lost messages that had been counted; it is read on from the end",
                partition=str(self.place),
                read_to=offset,
                end=bounds.end,
            )
            return bounds.end
        if offset < bounds.low:
            missing = bounds.low - offset
            log.error(
                "messages were deleted before they were read; give the topic a longer retention than the"
                " longest stop",
                partition=str(self.place),
                messages=missing,
            )
            self._shared.lost(self.place.topic, missing)
            return bounds.low
        return offset

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
        bodies = self._all_at_once(messages)
        for message in messages:
            self._heard = time.monotonic()
            if self.stuck:
                self.stuck = False
                log.info("a partition is read again", partition=str(self.place))
            error = message.error()
            offset = message.offset()
            if error is not None:
                if not self._failed(error, offset):
                    break
                continue
            if offset is None or (offset < self.position.offset and self._recall_from is None):
                continue
            self._at_end = False
            self.idle_since = self._heard
            if offset < self.position.offset:
                recalled += self._decoded(message, offset, self.position.clock, moment, again=True)
                continue
            self._recall_from = None
            before = read[-1].clock if read else self.position.clock
            if offset in bodies:
                clock = clock_of(message, moment, before)
                read.append(Read(offset, clock, bodies[offset], metrics=False))
            else:
                read += self._decoded(message, offset, before, moment)
            self.position = replace(self.position, offset=offset + 1)
        # Once it is live, it is: others do not wait for it again.
        until = 0 if self.live else self.replay_until
        found = [self._recalled(group) for group in same_second(recalled, until)]
        for group in same_second(read, until):
            found += [*self._missed_ticks(group), self._arrivals(group, moment)]
        return found

    def _all_at_once(self, messages: list[Message]) -> dict[int, bytes]:
        """Payloads by offset, where all can be read together; empty where each must be."""
        if self._recall_from is not None:
            return {}
        values = {
            offset: value
            for message in messages
            if message.error() is None
            and (offset := message.offset()) is not None
            and offset >= self.position.offset
            and (value := message.value()) is not None
        }
        signal = self._shared.signals[self.place.topic]
        found = payloads_of(signal, self._shared.settings.encoding, list(values.values()))
        if found is None:
            return {}
        bodies, accepted = found
        size = sum(map(len, values.values()))
        self._shared.tallies[self.place.topic].accepted(size, accepted, len(values))
        return dict(zip(values, bodies, strict=True))

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

    def _decoded(
        self, message: Message, offset: int, before: float, moment: Moment, *, again: bool = False
    ) -> list[Read]:
        """A message as it is counted, or remembered; none where it can't be."""
        value = message.value()
        signal = self._shared.signals[self.place.topic]
        tally = self._shared.tallies[self.place.topic]
        clock = (
            min(clock_of(message, moment, 0.0), before)
            if again
            else clock_of(message, moment, before)
        )
        if value is None:
            return [] if again else [Read(offset, clock, b"", metrics=False)]
        try:
            body, accepted = payload_of(signal, self._shared.settings.encoding, value)
        except Unreadable as error:
            if again:
                return []  # it was set aside before the restart
            tally.undecodable()
            self._set_aside(message, offset, str(error))
            return [Read(offset, clock, b"", metrics=False)]
        if not again:
            tally.accepted(len(value), accepted)
        return [Read(offset, clock, body if accepted.items else b"", signal == "metrics")]

    def _set_aside(self, message: Message, offset: int, reason: str) -> None:
        kept_back = self._seldom.due("undecodable")
        if kept_back is not None:
            log.error(
                "not decoded",
                partition=str(self.place),
                offset=offset,
                reason=reason,
                others_since=kept_back,
            )
        if self._shared.dead_letters.wanted:
            self._undelivered.add(offset)
            self._shared.dead_letters.send(Letter.of(message, reason), self._undelivered)

    def _recalled(self, group: list[Read]) -> Arrivals:
        bodies = tuple(read.body for read in group if read.body)
        return Arrivals(
            group[-1].clock, traces=bodies, live=False, recalled=True, origin=self._origin()
        )

    def _missed_ticks(self, group: list[Read]) -> Iterator[Arrivals]:
        """In a replay, the ticks that came while nothing did: what ended then has to end again."""
        until = group[-1].clock
        if self._is_live(group) or until - self._ticked > LONGEST_PAUSE:
            return
        while self._ticked and until - self._ticked > 2 * TICK:
            self._ticked += TICK
            clock = max(self._ticked, self.position.clock)
            yield Arrivals(
                clock,
                live=False,
                tick=True,
                watermarks=self.position.watermarks,
                origin=self._origin(),
            )

    def _is_live(self, group: list[Read]) -> bool:
        return self.live or group[-1].offset >= self.replay_until

    def _arrivals(self, group: list[Read], moment: Moment) -> Arrivals:
        clock = group[-1].clock
        bodies = tuple(read.body for read in group if read.body)
        metrics = self._shared.signals[self.place.topic] == "metrics"
        marks = self.position.watermarks
        if bodies:
            marks = (marks[0], clock) if metrics else (clock, marks[1])
        self.position = replace(self.position, clock=clock, watermarks=marks)
        live = self._is_live(group)
        tick = not live and clock - self._ticked >= TICK
        if tick:
            self._ticked = clock
        return Arrivals(
            clock=clock,
            traces=() if metrics else bodies,
            metrics=bodies if metrics else (),
            live=live,
            tick=tick,
            watermarks=marks,
            ahead_ns=moment.ahead_ns if live else 0,
            doubt_ns=moment.doubt_ns if live else 0,
            origin=self._origin(),
        )

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
        clock = self.position.clock or moment.now_ns / 1e9
        marks = self.position.watermarks
        return [Arrivals(clock, tick=True, watermarks=marks, origin=self._origin())]

    def _tick(self, moment: Moment) -> list[Arrivals]:
        """A tick for all, where this partition is the first to see that one is due."""
        crew = self._shared.crew
        clock = crew.tick(self.place, moment.now_ns / 1e9, self._topics.parts())
        if clock is None:
            return []
        marks = watermarks(member.position for member in crew.members())
        return [Arrivals(clock, tick=True, watermarks=marks, origin=self._origin())]


def _recalled_since(position: Position) -> float:
    """Whole generations: that of the position, the one before, and one that those build on."""
    return (position.clock // GENERATION - 2) * GENERATION
