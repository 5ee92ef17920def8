"""The members of an open incident, as a snapshot keeps them, and which of them is the likely cause."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from slo.anomalies.decision import Member, Pairs, Reading
from slo.anomalies.messages import ReadingKey
from slo.anomalies.model import Feature, Monitor

HOLD_INTERVALS = 3
HOLD_SECONDS = 300.0
# What fails or slows down is sooner a cause than what is asked less for it.
_ERRORS, _SLOWNESS, _OTHER, _RATE = range(4)


@dataclass(slots=True)
class Part:
    """A member.

    Attributes:
        key: which series.
        group: see `Member`.
        unit: see `Member`.
        rank: among those that began together, the least is the likelier cause.
        every: seconds of an interval.
        first: the reading with which it began.
        strangest: the most improbable so far.
        last: the newest value that was there.
        quiet: seconds of intervals since it was strange last.
        gone: it is watched no longer.
    """

    key: ReadingKey
    group: Pairs
    unit: str
    rank: int
    every: int
    first: Reading
    strangest: Reading
    last: float
    quiet: float = 0.0
    gone: bool = False

    def again(self, reading: Reading) -> None:
        """It is strange now."""
        self.quiet = 0.0
        self.last = reading.value
        if reading.probability < self.strangest.probability:
            self.strangest = reading

    def pause(self, value: float) -> None:
        """It was not strange for an interval."""
        self.quiet += self.every
        if np.isfinite(value):
            self.last = value

    def over(self) -> bool:
        """Whether it keeps an incident open no longer."""
        return self.gone or self.quiet >= max(HOLD_INTERVALS * self.every, HOLD_SECONDS)

    def stays(self) -> bool:
        """Whether it is quiet outside the band of before: the detector knows no other by now."""
        beyond = self.last < self.first.lower or self.last > self.first.upper
        return beyond and self.quiet > 0 and not self.gone

    def member(self) -> Member:
        """As it is told."""
        return Member(
            key=self.key,
            group=self.group,
            unit=self.unit,
            every=self.every,
            since=self.first.at,
            strangest=self.strangest,
            active=not (self.quiet or self.gone),
            stays=self.stays(),
        )


def make_part(key: ReadingKey, monitor: Monitor, reading: Reading) -> Part:
    """A new member."""
    feature = next((f for f in monitor.features if f.name == key.feature), None)
    pairs = zip(monitor.by_names, key.entity.group, strict=False)
    return Part(
        key=key,
        group=tuple((name, value) for name, value in pairs if value),
        unit=_unit(feature),
        rank=_rank(feature),
        every=monitor.every,
        first=reading,
        strangest=reading,
        last=reading.value,
    )


def ordered(parts: Iterable[Part]) -> list[Part]:
    """The likely first cause, then the others, the strangest first.

    The cause is among those that began with the first, or in the interval after: how soon a thing shows
    is chance within one. Of these, errors come before slowness, that before all else, and rates last;
    then what is named most narrowly (a model before its service), then the most improbable.
    """
    parts = list(parts)
    earliest = min(part.first.at for part in parts)
    young = [part for part in parts if part.first.at <= earliest + part.every]
    cause = min(
        young, key=lambda p: (p.rank, -len(p.group), p.strangest.probability, p.first.at, p.key)
    )
    others = [part for part in parts if part is not cause]
    return [cause, *sorted(others, key=lambda p: (p.strangest.probability, p.first.at, p.key))]


def _unit(feature: Feature | None) -> str:
    if feature is None:
        return ""
    return "ratio" if feature.kind == "errors" else feature.unit


def _rank(feature: Feature | None) -> int:
    if feature is None:
        return _OTHER
    if feature.kind == "errors":
        return _ERRORS
    if feature.kind == "rate":
        return _RATE
    return _SLOWNESS if feature.unit == "s" else _OTHER
