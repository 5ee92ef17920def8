"""Partitions by name: `TOPIC/NUMBER`, which no topic's name can be mistaken for."""

from typing import NamedTuple

# Slots for partitions that may be added later; each costs a few bytes of every snapshot.
FEWEST_SLOTS = 16


class Place(NamedTuple):
    """A partition.

    Attributes:
        topic: its topic.
        number: its number in it.
    """

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


def place_of(name: str) -> Place:
    """The partition of a name.

    >>> place_of("otlp_spans/3")
    Place(topic='otlp_spans', number=3)
    """
    topic, _, number = name.rpartition("/")
    return Place(topic, int(number))


def slots_for(partitions: int) -> int:
    """How many slots a topic gets: room to double its partitions at least once.

    >>> [slots_for(count) for count in (0, 3, 8, 9, 100)]
    [16, 16, 16, 32, 256]
    """
    slots = FEWEST_SLOTS
    while slots < 2 * partitions:
        slots *= 2
    return slots
