"""Time slices: turn a series' events into one event a slice, good or bad as a whole.

A slice without traffic is no event: no traffic burns nothing. A slice counts once it is over;
what arrives late for it changes its verdict, by a correction of one bad event, as long as the slice is
remembered.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from slo.model import Slices

REMEMBERED = 240


@dataclass(slots=True)
class SliceBook:
    """The slices of one series.

    Attributes:
        slices: how long a slice is and what share of its events must be good.
        counts: start of a slice (Unix seconds) -> [bad, total].
        verdicts: start of a slice that is over -> whether it was bad.
        unsettled: starts of slices with events that no verdict has taken into account.
    """

    slices: Slices
    counts: dict[int, list[int]] = field(default_factory=dict)
    verdicts: dict[int, bool] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)

    def add(self, time: int, bad: int, total: int) -> None:
        """Count events at a moment (Unix seconds)."""
        start = time // self.slices.seconds * self.slices.seconds
        counts = self.counts.setdefault(start, [0, 0])
        counts[0] += bad
        counts[1] += total
        self.unsettled.add(start)

    def due(self, clock: int) -> bool:
        """Whether a slice with traffic has ended by now and its verdict is open."""
        end = clock - self.slices.seconds
        return any(start <= end for start in self.unsettled)

    def settle(self, clock: int) -> list[tuple[int, int, int]]:
        """The slices that ended, or changed their verdict, as (time, bad, total) to count."""
        settled: list[tuple[int, int, int]] = []
        if not self.due(clock):
            return settled
        over = sorted(s for s in self.unsettled if s + self.slices.seconds <= clock)
        self.unsettled.difference_update(over)
        for start in over:
            bad, total = self.counts[start]
            if total <= 0:
                continue
            verdict = Fraction(total - bad, total) < self.slices.target
            before = self.verdicts.get(start)
            last_moment = start + self.slices.seconds - 1
            if before is None:
                settled.append((last_moment, int(verdict), 1))
            elif before != verdict:
                settled.append((last_moment, int(verdict) - int(before), 0))
            self.verdicts[start] = verdict
        self._forget(clock)
        return settled

    def _forget(self, clock: int) -> None:
        horizon = clock - REMEMBERED * self.slices.seconds
        for start in [start for start in self.counts if start < horizon]:
            del self.counts[start]
            self.verdicts.pop(start, None)

    def remembers(self, time: int, clock: int) -> bool:
        """Whether events at this time can still change a slice."""
        start = time // self.slices.seconds * self.slices.seconds
        return start >= clock - REMEMBERED * self.slices.seconds
