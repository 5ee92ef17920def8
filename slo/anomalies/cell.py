"""What is gathered of one entity in one interval, and the values that come of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from slo.anomalies import sketch
from slo.anomalies.messages import Example, Part, Sample
from slo.anomalies.model import Feature
from slo.anomalies.sketch import Sketch

MOST_EXAMPLES = 3


class Value(NamedTuple):
    """A feature's value and the events that it is made of; NaN where it has none."""

    value: float
    events: int


@dataclass(slots=True)
class Gathered:
    """One feature of one entity in one interval.

    Attributes:
        events: see `slo.anomalies.messages.Part`.
        total: likewise.
        bins: likewise.
        streams: of a counter, by stream: what it grew by, and in how many seconds.
    """

    events: int = 0
    total: float = 0.0
    bins: Sketch = field(default_factory=dict)
    streams: dict[bytes, tuple[float, float]] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Count a part."""
        self.events += part.events
        self.total += part.total
        if part.bins:
            sketch.add(self.bins, part.bins)

    def grew(self, stream: bytes, amount: float, seconds: float) -> None:
        """A counter grew."""
        grown, passed = self.streams.get(stream, (0.0, 0.0))
        self.streams[stream] = grown + amount, passed + seconds
        self.events += round(amount)

    def value(self, feature: Feature, of: int, every: int) -> Value:
        """What the feature is at the interval's end, of so many events of the entity."""
        match feature.kind:
            case "rate":
                return Value(self.events * feature.per / every, self.events)
            case "errors":
                return Value(_ratio(self.total, self.events), self.events)
            case "quantile":
                return Value(sketch.quantile(self.bins, feature.quantile or 0.5), self.events)
            case "sum":
                # Events of which none has the number: it is not known, which is not 0.
                known = self.events or not of
                return Value(self.total * feature.per / every if known else math.nan, self.events)
            case "mean":
                return Value(_ratio(self.total, self.events), self.events)
            case "metric":
                return self._of_metric(feature)

    def _of_metric(self, feature: Feature) -> Value:
        if feature.quantile is not None:
            return Value(sketch.quantile(self.bins, feature.quantile), self.events)
        if self.streams:
            # Each stream by the time that its own points speak of: exports and intervals do not go in step.
            rate = sum(grown / passed for grown, passed in self.streams.values())
            return Value(rate * feature.per, self.events)
        return Value(_ratio(self.total, self.events), self.events)


@dataclass(slots=True)
class Cell:
    """One entity in one interval.

    Attributes:
        events: spans.
        features: of the monitor, in their order.
        examples: the most telling spans, worst first.
    """

    features: list[Gathered]
    events: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.events += sample.events
        for gathered, part in zip(self.features, sample.parts, strict=True):
            gathered.add(part)
        if sample.examples:
            self.examples = _worst([*self.examples, *sample.examples])


def _worst(examples: Iterable[Example]) -> list[Example]:
    return sorted(set(examples), reverse=True)[:MOST_EXAMPLES]


def _ratio(total: float, events: int) -> float:
    return total / events if events else math.nan
