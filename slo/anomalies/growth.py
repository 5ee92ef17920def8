"""From a watched metric's points to what happened since the point before."""

from collections.abc import Mapping
from typing import NamedTuple

from slo.anomalies.messages import WatchedPoint
from slo.increments import Increments

# Counters in these parts of one: costs are fractions.
COUNTER_SCALE = 2**20
# As for objectives: a counter that began so shortly before counts from its start.
WATCH_LEAD_NS = 300_000_000_000
# Cumulative histograms whose last point is kept.
MOST_HISTOGRAMS = 10_000
_ROUNDING = 1e-9

Bins = Mapping[int, float]


class Grown(NamedTuple):
    """What a counter or histogram grew by.

    Attributes:
        amount: of a counter, in its unit; of a histogram, observations.
        seconds: in which it did; 0 where that is not known.
        bins: of a histogram's observations; None where they are not known.
    """

    amount: float
    seconds: float
    bins: Bins | None = None


class Growth:
    """Keeps the last point of each stream. Picklable."""

    def __init__(self) -> None:
        self._increments = Increments()
        self._bins: dict[tuple[bytes, int], Bins] = {}

    def watch(self, generations: Mapping[str, str], clock: float) -> None:
        """Says which monitors are read from now on; call it at every start, with all of them.

        Args:
            generations: by monitor.
            clock: Unix seconds.
        """
        since_ns = max(0, int(clock * 1e9) - WATCH_LEAD_NS)
        self._increments.watch(generations, since_ns)

    def take(self, watched: WatchedPoint) -> Grown | None:
        """What a counter's or histogram's point says; None for one that says nothing new."""
        point = watched.point
        before_ns = self._increments.before_ns(point)
        amounts = self._increments.amounts(point)
        bins = self._grown(watched, amounts)
        if amounts is None:
            return None
        seconds = (point.time_ns - before_ns) / 1e9 if 0 < before_ns < point.time_ns else 0.0
        if watched.kind == "histogram":
            return Grown(amounts[0], seconds, bins)
        return Grown(amounts[0] / COUNTER_SCALE, seconds)

    def _grown(self, watched: WatchedPoint, amounts: tuple[int, ...] | None) -> Bins | None:
        point = watched.point
        if watched.kind != "histogram" or not point.cumulative:
            return watched.bins
        key, bins = (point.stream, point.start_ns), watched.bins or {}
        before = self._bins.pop(key, None)
        newest = self._increments.before_ns(point) == point.time_ns
        self._bins[key] = bins if newest or before is None else before
        if len(self._bins) > MOST_HISTOGRAMS:
            del self._bins[next(iter(self._bins))]
        if amounts is None:
            return None
        if amounts[0] == point.value:  # born in sight, or a restart: all of it
            return bins
        if before is None:
            return None
        grown = {number: count - before.get(number, 0) for number, count in bins.items()}
        return {number: count for number, count in grown.items() if count > _ROUNDING}
