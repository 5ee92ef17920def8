"""Where a partition is read from, by where it was left and by what is there now."""

from typing import NamedTuple

from engine.kafka.position import ABSENT, UNREAD, Position
from engine.kafka.settings import First
from engine.kafka.topics import Bounds

MADE_ANEW = "the topic is another than the one read before; all of it is read"
CUT_OFF = "the brokers lost messages that had been counted; it is read on from the end"
DELETED = (
    "messages were deleted before they were read; give the topic a retention longer than any stop"
)


class Beginning(NamedTuple):
    """Where reading begins.

    Attributes:
        offset: of the first message.
        trouble: what is to be said of it, empty for nothing: one of the texts above.
        missing: messages, at most, that can't be read any more.
    """

    offset: int
    trouble: str = ""
    missing: int = 0


def beginning(position: Position, bounds: Bounds, topic_id: str, first: First) -> Beginning:
    """Where reading begins.

    Args:
        position: where it was left.
        bounds: of the partition now.
        topic_id: of the topic now; empty where brokers tell none.
        first: where to begin what was never read.

    >>> beginning(Position(7, topic_id="a"), Bounds(0, 9), "a", "earliest").offset
    7
    >>> beginning(Position(7, topic_id="a"), Bounds(0, 9), "b", "earliest").offset
    0
    """
    offset = position.offset
    if offset == UNREAD:
        return Beginning(bounds.end if first == "latest" else bounds.low)
    if offset == ABSENT:
        return Beginning(bounds.low)
    known = position.topic_id and topic_id
    if position.topic_id != topic_id if known else offset > bounds.end:
        return Beginning(bounds.low, MADE_ANEW)
    if offset > bounds.end:
        return Beginning(bounds.end, CUT_OFF)
    if offset < bounds.low:
        return Beginning(bounds.low, DELETED, bounds.low - offset)
    return Beginning(offset)
