"""The alerts that fire, of every kind: what begins and what ends by each shard's decision.

An alert keeps the `starts_at` under which it was first shown, whatever is decided of it later.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engine.sinks.book import Entry
from engine.sinks.shown import AnyAlert, Burning, Change, Labels, Shown, labels_of
from slo.anomalies.decision import Incident
from slo.model import Objective

# The shard, as it were, that decides on pages raised from tickets: the board.
RAISED = "raised"


class Identity(NamedTuple):
    """What makes an SLO's alert the same in decisions, whatever labels its objective gives it."""

    objective: str
    group: tuple[str, ...] | None
    severity: str
    consumed: float
    kind: str


class IncidentIdentity(NamedTuple):
    """What makes an incident's alert the same in decisions."""

    service: str
    severity: str
    opened: float


NOTHING = Change((), ())


def joined(*changes: Change) -> Change:
    """Changes one after another."""
    return Change(
        tuple(shown for change in changes for shown in change.fired),
        tuple(shown for change in changes for shown in change.ended),
    )


def identity(alert: AnyAlert) -> Identity | IncidentIdentity:
    """The identity of an alert in decisions."""
    if isinstance(alert, Incident):
        return IncidentIdentity(alert.service, alert.severity, alert.opened)
    series = alert.series
    level = alert.consumed or 0.0
    return Identity(series.objective, series.group, alert.severity, level, alert.kind)


@dataclass(slots=True)
class _Firing:
    """An alert that fires, in one shard or, as an overflow series may, in several."""

    objective: Objective | None
    labels: Labels
    alerts: dict[str, AnyAlert] = field(default_factory=dict)

    def shown(self) -> Shown:
        """Of an alert in several shards, the one that burns most."""
        newest = max(self.alerts.values(), key=_weight)
        return Shown(newest, self.objective, self.labels)

    def ended(self, alert: AnyAlert, clock: float, wall: float) -> Shown:
        """It, at its end."""
        starts_at = min(a.starts_at for a in self.alerts.values())
        ends_at = max(min(clock if alert.ends_at is None else alert.ends_at, wall), starts_at)
        return Shown(
            replace(alert, starts_at=starts_at, ends_at=ends_at), self.objective, self.labels
        )

    def generations(self) -> set[str]:
        """Of what is counted."""
        return {_generation(alert) for alert in self.alerts.values()}


class FiringAlerts:
    """Every alert that fires.

    Args:
        wall: Unix seconds. Outside nothing begins or ends later than that, although the engine's time is
            ahead of a clock that was set back.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._all: dict[Identity | IncidentIdentity, _Firing] = {}

    def carry(self, shard: str, alert: AnyAlert, objective: Objective | None) -> None:
        """Take an alert of the time before a restart."""
        fresh = _Firing(objective, labels_of(alert, objective))
        self._all.setdefault(identity(alert), fresh).alerts[shard] = alert

    def shown(self) -> tuple[Shown, ...]:
        """All, as they are shown."""
        return tuple(firing.shown() for firing in self._all.values())

    def entries(self) -> list[Entry]:
        """All, as the book has them."""
        return [Entry(s, alert) for f in self._all.values() for s, alert in f.alerts.items()]

    def take(
        self,
        shard: str,
        alerts: Iterable[AnyAlert],
        ended: Iterable[AnyAlert],
        clock: float,
        objectives: Mapping[str, Objective],
    ) -> Change:
        """Bring all up to a shard's decision; what the shard does not name any more has ended.

        Args:
            shard: its key.
            alerts: that fire in it; those of objectives that are not known are dropped.
            ended: that the decision ended.
            clock: of the decision, Unix seconds.
            objectives: by id.
        """
        fired, over = [], []
        ends = {identity(alert): alert for alert in ended}
        now = {identity(a): a for a in alerts if _is_known(a, objectives)}
        for key, alert in now.items():
            objective = None if isinstance(alert, Incident) else objectives[alert.series.objective]
            known = self._all.get(key)
            if known is not None and (
                known.objective is not objective or _is_renewed(known, alert)
            ):
                over += self._renew(key, known, alert, objective, clock)
                known = self._all.get(key)
            if known is None:
                known = self._all[key] = _Firing(objective, labels_of(alert, objective))
            begins = not known.alerts
            start = min(
                [a.starts_at for a in known.alerts.values()],
                default=min(alert.starts_at, self._wall()),
            )
            known.alerts[shard] = replace(alert, starts_at=start, ends_at=None)
            if begins:
                fired.append(known.shown())
        for key in [k for k, f in self._all.items() if shard in f.alerts and k not in now]:
            firing = self._all[key]
            if len(firing.alerts) == 1:
                over.append(firing.ended(ends.get(key, firing.alerts[shard]), clock, self._wall()))
                del self._all[key]
            else:
                del firing.alerts[shard]
        return Change(tuple(fired), tuple(over))

    def opened_after(self, shard: str, at: float) -> list[Incident]:
        """A shard's incidents that opened later than a moment: a decision on that can't name them."""
        found = (f.alerts.get(shard) for f in self._all.values())
        return [one for one in found if isinstance(one, Incident) and one.opened > at]

    def burning(self) -> dict[str, Burning]:
        """Of each service the SLO that burns longest."""
        found: dict[str, Burning] = {}
        for firing in self._all.values():
            for alert in firing.alerts.values():
                if firing.objective is not None and alert.kind == "burn":
                    service = firing.objective.service
                    since = Burning(alert.starts_at, firing.objective.id)
                    found[service] = min(since, found.get(service, since))
        return found

    def raise_tickets(
        self, clock: float, elsewhere: Iterable[Mapping[str, Burning]] = ()
    ) -> Change:
        """Make pages of incidents whose service's SLO burns, and end those whose does no longer.

        The ticket stays as it is: labels are identity. The page begins when both had begun, which a
        restart does not change.

        Args:
            clock: of the decision that led to this, Unix seconds.
            elsewhere: what burns on the boards of other processes.
        """
        incidents = [
            (shard, alert)
            for firing in self._all.values()
            for shard, alert in firing.alerts.items()
            if isinstance(alert, Incident)
        ]
        if not incidents:
            return NOTHING
        burning = self.burning()
        for others in elsewhere:
            for service, since in others.items():
                burning[service] = min(since, burning.get(service, since))
        raised = []
        for shard, incident in incidents:
            if shard != RAISED and incident.severity == "ticket" and incident.service in burning:
                burns_since, slo = burning[incident.service]
                start = max(burns_since, incident.starts_at)
                raised.append(replace(incident, severity="page", starts_at=start, burning=slo))
        return self.take(RAISED, raised, (), clock, {})

    def drop(self, heard: Callable[[str, AnyAlert], bool], clock: float) -> Change:
        """End what was decided on by shards of which nothing is heard any more."""
        over = []
        for key, firing in list(self._all.items()):
            kept = {shard: alert for shard, alert in firing.alerts.items() if heard(shard, alert)}
            if not kept:
                over.append(firing.ended(firing.shown().alert, clock, self._wall()))
                del self._all[key]
            else:
                firing.alerts = kept
        return Change((), tuple(over))

    def _renew(
        self,
        key: Identity | IncidentIdentity,
        known: _Firing,
        alert: AnyAlert,
        objective: Objective | None,
        clock: float,
    ) -> list[Shown]:
        """Bring an alert under a changed objective; what ends by that.

        With other labels it is another alert outside, with another generation it counts something else.
        """
        labels = labels_of(alert, objective)
        if labels == known.labels and known.generations() == {_generation(alert)}:
            known.objective = objective
            return []
        last = known.shown().alert
        del self._all[key]
        return [known.ended(last, clock, self._wall())]


def _is_renewed(known: _Firing, alert: AnyAlert) -> bool:
    """Whether it is an alert of a cost budget of another period, which is another alert outside."""
    since = None if isinstance(alert, Incident) or alert.spent is None else alert.spent.since
    return since is not None and any(
        isinstance(a, Incident) or a.spent is None or a.spent.since != since
        for a in known.alerts.values()
    )


def _is_known(alert: AnyAlert, objectives: Mapping[str, Objective]) -> bool:
    return isinstance(alert, Incident) or alert.series.objective in objectives


def _generation(alert: AnyAlert) -> str:
    return "" if isinstance(alert, Incident) else alert.series.generation


def _weight(alert: AnyAlert) -> float:
    if isinstance(alert, Incident):
        # What the board has raised says which SLO burns.
        return float(bool(alert.burning))
    return alert.burn_long
