"""Missing traffic: objectives of which no event has come for as long as their `absent:` says.

Only what was listened to is silence: an engine that was off or asleep, or whose clock jumped, knows
nothing of the time between. So the time without events counts from the last gap between two
decisions, too. What fires goes on until an event is counted, whatever restarts and gaps come between.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slo.decision import Alert, SeriesKey, Silence
from slo.model import Absent, Objective

# Decisions follow each other every second; a shard that says nothing for so long was not listening.
GAP_SECONDS = 60.0

Remaining = Callable[[SeriesKey], float]


class Begun(NamedTuple):
    """A silence that has become an alert: since when it fires, and what was known of it then."""

    starts_at: float
    since: float
    last: float


@dataclass(slots=True)
class AbsenceState:
    """What a recovery snapshot keeps.

    Attributes:
        clock: of the newest decision, Unix seconds; 0 before the first.
        listening: since when without a gap.
        watched: since when each objective is.
        firing: the silences that are alerts.
    """

    clock: float = 0.0
    listening: float = 0.0
    watched: dict[SeriesKey, float] = field(default_factory=dict)
    firing: dict[SeriesKey, Begun] = field(default_factory=dict)


class Absence:
    """The alerts of missing traffic of one shard.

    Args:
        objectives: by id.
        state: of a snapshot, or a new one.
        told: alerts that fired when the engine was last alive, which may be later than the snapshot.
    """

    def __init__(
        self,
        objectives: Mapping[str, Objective],
        state: AbsenceState | None = None,
        told: Sequence[Alert] = (),
    ) -> None:
        self.conditions = {o.id: o.absent for o in objectives.values() if o.absent}
        state = state or AbsenceState()
        self.clock = state.clock
        self.listening = state.listening
        self.watched = dict(state.watched)
        known = {a.series: Begun(a.starts_at, *a.silence[:2]) for a in told if a.silence}
        self.firing = known | state.firing

    def state(self) -> AbsenceState:
        """What a snapshot keeps."""
        return AbsenceState(self.clock, self.listening, dict(self.watched), dict(self.firing))

    def decide(
        self, clock: float, newest: Mapping[SeriesKey, float], remaining: Remaining, *, exact: bool
    ) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        """Alerts that fire now, and those that this decision ended.

        Args:
            clock: Unix seconds.
            newest: when each objective's last event was counted, 0 for never; of those only that
                this shard listens to.
            remaining: the share of an objective's budget that is left.
            exact: time is that of the events, as in a backtest: it has no gaps.
        """
        if not self.clock or (not exact and clock - self.clock > GAP_SECONDS):
            self.listening = clock
        self.clock = max(self.clock, clock)
        # An objective that is gone, or not listened to any more, begins anew when it comes back.
        self.watched = {key: self.watched.get(key, clock) for key in newest}
        self.firing = {key: begun for key, begun in self.firing.items() if key in newest}
        now: list[Alert] = []
        over: list[Alert] = []
        for key, last in newest.items():
            condition = self.conditions[key.objective]
            begun = self.firing.get(key)
            if begun is None:
                since = max(last, self.listening, self.watched[key])
                if clock - since < condition.after:
                    continue
                begun = self.firing[key] = Begun(clock, since, last)
            # `after` may have been made longer since it began.
            if last > begun.since or clock - begun.since < condition.after:
                del self.firing[key]
                over.append(_alert(key, condition, begun, clock, remaining, ends_at=clock))
            else:
                now.append(_alert(key, condition, begun, clock, remaining))
        return tuple(now), tuple(over)


def _alert(
    key: SeriesKey,
    condition: Absent,
    begun: Begun,
    clock: float,
    remaining: Remaining,
    ends_at: float | None = None,
) -> Alert:
    return Alert(
        series=key,
        kind="absent",
        severity=condition.severity,
        starts_at=begun.starts_at,
        ends_at=ends_at,
        short=0,
        long=0,
        burn_short=0.0,
        burn_long=0.0,
        factor=0.0,
        budget_remaining=remaining(key),
        silence=Silence(begun.since, begun.last, clock - begun.since),
    )
