"""Anomalies of single series become incidents: one alert for what belongs together.

All anomalies of a service that overlap, or follow each other while an incident of it is held open, are one
incident. So a service has one open incident at most, and its alert can't be taken for another's.

An incident ends when every member has been quiet for `HOLD_INTERVALS` of its intervals, and for
`HOLD_SECONDS`, in readings that were heard: a series that swings in and out of its band is one alert.
What is frozen is neither strange nor quiet.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from slo.anomalies._parts import Part, make_part, ordered
from slo.anomalies.decision import Incident, Pairs, Reading
from slo.anomalies.detecting import Judged
from slo.anomalies.messages import EntityKey, ReadingKey, Readings
from slo.anomalies.model import Monitor, Severity

# An alert names so many members; it has the number of all.
MOST_MEMBERS = 10
MOST_TRACE_IDS = 5
# Beyond so many, those that are over are forgotten but for their number: an incident may last for weeks, and
# what is watched come and go.
MOST_PARTS = 1_000


@dataclass(slots=True)
class Open:
    """An open incident, as a snapshot keeps it.

    Attributes:
        opened: Unix seconds at which the interval ended that opened it.
        monitor: that of the first cause then; the user's labels and annotations are its.
        labels: the user's. They never change, whatever a reload brings: labels are identity.
        annotations: likewise.
        alerts: when the alert of each severity began, Unix seconds.
        parts: the members.
        trace_ids: of an entity's newest strange interval.
        forgotten: members that are over and not kept.
    """

    opened: float
    monitor: str = ""
    labels: Pairs = ()
    annotations: Pairs = ()
    alerts: dict[Severity, float] = field(default_factory=dict)
    parts: dict[ReadingKey, Part] = field(default_factory=dict)
    trace_ids: dict[EntityKey, tuple[str, ...]] = field(default_factory=dict)
    forgotten: int = 0

    def age(self, readings: Readings, judged: Judged) -> None:
        """Let an interval go by for the members that have readings now."""
        for key, part in self.parts.items():
            if part.every != readings.every or part.gone:
                continue
            place = judged.places.get(key)
            if place is None:
                part.gone = True
            elif not judged.verdicts.alert[place]:
                part.pause(float(judged.values[place]))

    def add(self, readings: Readings, judged: Judged, place: int, monitor: Monitor) -> None:
        """Take a strange reading."""
        key = judged.keys[place]
        verdict = judged.verdicts.of(place)
        reading = Reading(
            readings.at,
            float(judged.values[place]),
            verdict.expected,
            verdict.lower,
            verdict.upper,
            verdict.probability,
        )
        part = self.parts.get(key)
        if part is None or part.gone:
            self.parts[key] = make_part(key, monitor, reading)
        else:
            part.again(reading)
        if ids := readings.trace_ids.get(key.entity):
            self.trace_ids[key.entity] = ids

    def trim(self) -> None:
        """Forget what is over and the least strange, where there is too much."""
        excess = len(self.parts) - MOST_PARTS
        if excess <= 0:
            return
        cause, *others = ordered(self.parts.values())
        for part in [part for part in reversed(others) if part.over()][:excess]:
            del self.parts[part.key]
            if part.key.entity != cause.key.entity:
                self.trace_ids.pop(part.key.entity, None)
            self.forgotten += 1

    def over(self) -> bool:
        """Whether nothing keeps it open."""
        return all(part.over() for part in self.parts.values())

    def told(self, service: str, ends_at: float | None = None) -> Iterator[Incident]:
        """Its alerts as they are now."""
        parts = ordered(self.parts.values())
        found = (self.trace_ids.get(part.key.entity, ()) for part in parts)
        trace_ids = tuple(dict.fromkeys(id_ for ids in found for id_ in ids))[:MOST_TRACE_IDS]
        members = tuple(part.member() for part in parts[:MOST_MEMBERS])
        for severity, starts_at in self.alerts.items():
            yield Incident(
                service=service,
                severity=severity,
                opened=self.opened,
                starts_at=starts_at,
                ends_at=None if ends_at is None else max(ends_at, starts_at),
                monitor=self.monitor,
                labels=self.labels,
                annotations=self.annotations,
                members=members,
                count=len(parts) + self.forgotten,
                trace_ids=trace_ids,
            )


IncidentsState = dict[str, Open]


class Told(NamedTuple):
    """The alerts that fire now, and those that just ended."""

    firing: tuple[Incident, ...]
    ended: tuple[Incident, ...]


class Incidents:
    """The incidents of a shard.

    Args:
        monitors: by id.
        state: open ones by service, of a snapshot.
    """

    def __init__(
        self, monitors: Mapping[str, Monitor], state: IncidentsState | None = None
    ) -> None:
        self._monitors = monitors
        self._open = {} if state is None else state
        for incident in self._open.values():
            for key, part in incident.parts.items():
                monitor = monitors.get(key.entity.monitor)
                part.gone |= not (
                    monitor and monitor.alerts and monitor.measures(key.entity.generation)
                )

    def state(self) -> IncidentsState:
        """What a snapshot keeps."""
        return self._open

    def take(self, readings: Readings, judged: Judged) -> Told:
        """Take what was judged of a moment's readings."""
        if not readings.frozen:
            for incident in self._open.values():
                incident.age(readings, judged)
            self._add(readings, judged)
            for incident in self._open.values():
                incident.trim()
        ended: list[Incident] = []
        for service, incident in list(self._open.items()):
            if incident.over():
                ended += incident.told(service, readings.clock)
                del self._open[service]
        firing = [alert for name, each in self._open.items() for alert in each.told(name)]
        return Told(tuple(firing), tuple(ended))

    def _add(self, readings: Readings, judged: Judged) -> None:
        severities: dict[str, Severity] = {}
        for place in np.flatnonzero(judged.verdicts.alert).tolist():
            entity = judged.keys[place].entity
            monitor = self._monitors[entity.monitor]
            if not monitor.alerts:
                continue
            incident = self._open.setdefault(entity.service, Open(readings.at))
            incident.add(readings, judged, place, monitor)
            if severities.get(entity.service) != "page":
                severities[entity.service] = monitor.severity
        for service, severity in severities.items():
            incident = self._open[service]
            if not incident.alerts:
                self._name(incident)
            # A ticket beside a page says nothing; a page beside a ticket goes to other people.
            if not incident.alerts or severity == "page":
                incident.alerts.setdefault(severity, readings.clock)

    def _name(self, incident: Open) -> None:
        """Give a new incident the labels of its first cause."""
        cause = ordered(incident.parts.values())[0]
        monitor = self._monitors[cause.key.entity.monitor]
        incident.monitor = monitor.id
        incident.labels = tuple(sorted(monitor.labels.items()))
        incident.annotations = tuple(sorted(monitor.annotations.items()))
