"""What a replay needs, of the spool or of Kafka: the ticks that came while nothing did, what to recall."""

from collections.abc import Iterator

from engine.spool.arrivals import GENERATION

TICK = 1.0
# A pause that is longer was most likely one of ours, without ticks.
LONGEST_PAUSE = 60.0


def missed_ticks(ticked: float, until: float) -> Iterator[float]:
    """The clocks of the ticks between what was read and what is read next; what ended then has to end again.

    Args:
        ticked: Unix seconds of the last tick, 0 before the first.
        until: of what comes next.

    >>> list(missed_ticks(10.0, 13.5))
    [11.0, 12.0]
    """
    if until - ticked > LONGEST_PAUSE:
        return
    while ticked and until - ticked > 2 * TICK:
        ticked += TICK
        yield ticked


def recalled_since(clock: float) -> float:
    """Whole generations of memory: that of a position, the one before, and one that those build on.

    >>> recalled_since(100.0)
    60.0
    """
    return (clock // GENERATION - 2) * GENERATION
