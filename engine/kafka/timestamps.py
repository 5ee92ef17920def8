"""The clock of what is read: when Kafka, or the producer, says that a message was written."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from engine.spool.clock import Moment


class Read(NamedTuple):
    """A message that was decoded.

    Attributes:
        offset: of it.
        clock: Unix seconds at which it counts as having arrived.
        body: as the flow reads it; empty where there is nothing in it to count.
    """

    offset: int
    clock: float
    body: bytes


def clock_of(message: Message, moment: Moment, not_before: float) -> float:
    """When a message counts as having arrived.

    Its own time, but never later than now, whatever clock the producer has, and never before what was read
    before it. Without a time of its own it arrives now.

    Args:
        message: it.
        moment: now, by the engine's clock.
        not_before: the clock of the message before it, Unix seconds.
    """
    kind, milliseconds = message.timestamp()
    now = moment.now_ns / 1e9
    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds <= 0:
        return max(now, not_before)
    return max(min(milliseconds / 1e3, now), not_before)


def same_second(read: Iterable[Read], replay_until: int) -> Iterator[list[Read]]:
    """Split where the second changes, so that a backlog is decided on as finely as live.

    And where the replay ends: what follows is decided on for the first time.
    """

    def kind(each: Read) -> tuple[int, bool]:
        return int(each.clock), each.offset < replay_until

    return (list(group) for _, group in groupby(read, kind))
