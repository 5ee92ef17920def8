"""Where a partition is read on: what Bytewax's recovery keeps of it."""

from dataclasses import dataclass

# A slot without a partition: one that comes is read from its beginning.
ABSENT = -1
# A partition of which nothing was read yet; where it begins was not decided.
UNREAD = -2


@dataclass(frozen=True, slots=True)
class Position:
    """Where a partition is read on.

    Attributes:
        offset: of the next message; `ABSENT` or `UNREAD` before the first.
        clock: Unix seconds, of the last message.
        watermarks: newest arrival of (traces, metrics).
        topic_id: of the topic that was read; empty where brokers tell none.
        undelivered: offsets of messages that could not be decoded and are not known to be among the dead
            letters.
    """

    offset: int = ABSENT
    clock: float = 0.0
    watermarks: tuple[float, float] = (0.0, 0.0)
    topic_id: str = ""
    undelivered: tuple[int, ...] = ()
