"""What a set of objectives asks of the flow: which windows at which level, and how far back."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slo.admitted import Admitted
from slo.anomalies.model import Monitor
from slo.decision import Alert, SeriesKey
from slo.forecast import forecast_windows
from slo.model import Objective, RollingWindow
from slo.usage.messages import Mode
from slo.windows import GRANULARITIES, Level, build_levels

# Those that Sloth's dashboards read, for every objective, whatever its tiers.
SLOTH_WINDOWS = (300, 1800, 3600, 7200, 21600, 86400, 259200)


_BESIDE = "+apart"


def shard_of(key: SeriesKey, shards: int) -> str:
    """The virtual shard of a series: the same on every machine, for ever.

    >>> shard_of(SeriesKey("chat-availability", ("m1",)), 64)
    '53'
    """
    text = "\x00".join((key.objective, key.generation, *(key.group or ("",))))
    return str(zlib.crc32(text.encode()) % shards)


def anomaly_shard_of(service: str, shards: int) -> str:
    """The virtual shard of all that is watched of a service: the same on every machine, for ever.

    >>> anomaly_shard_of("chat-api", 16)
    '13'
    """
    return str(zlib.crc32(service.encode()) % shards)


def whole(objective: Objective) -> SeriesKey:
    """The series in which all events of an objective are: its only one, or the sum over its groups."""
    return SeriesKey(objective.id, None if objective.by else (), objective.generation)


def beside(key: SeriesKey) -> SeriesKey:
    """Of a cost budget's series the one beside it, which counts (refused, unpriced) calls in its shard."""
    return key._replace(generation=f"{key.generation}{_BESIDE}")


def main_of(key: SeriesKey) -> SeriesKey | None:
    """The series that a key is `beside`; None where it is none of those."""
    if not key.generation.endswith(_BESIDE):
        return None
    return key._replace(generation=key.generation.removesuffix(_BESIDE))


@dataclass(frozen=True)
class Plan:
    """The objectives of a run, and the arithmetic that follows from them.

    Attributes:
        objectives: each once.
        shards: number of virtual shards; fixed for the life of a recovery directory.
        series_limit: series of one objective; the rest share an overflow series a shard.
        stale_after: seconds without arrivals of a signal after which its alerts freeze.
        skew: seconds that an event may be ahead of its arrival.
        watched_since: Unix nanoseconds since which an objective's telemetry would have reached us, by
            id; where it is not said, since the first arrival.
        admitted: what the shards of this process have room for.
        told: gives the alerts that fire as they were last told outside, perhaps after the last snapshot.
        monitors: what is watched for anomalies, each once.
        entity_limit: entities of one monitor in a shard; the rest share one.
        usage: by which labels what model calls used is counted.
        usage_limit: series of them by themselves; the rest share wider ones.
        windows: seconds of the windows of each level, ascending.
    """

    objectives: tuple[Objective, ...]
    shards: int = 16
    series_limit: int = 10_000
    stale_after: float = 300.0
    skew: float = 30.0
    watched_since: Mapping[str, int] = field(default_factory=dict)
    told: Callable[[], Sequence[Alert]] = tuple
    admitted: Admitted = field(default_factory=Admitted, compare=False, repr=False)
    monitors: tuple[Monitor, ...] = ()
    entity_limit: int = 1_000
    usage: Mode = "off"
    usage_limit: int = 1_000
    windows: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        windows = set(SLOTH_WINDOWS)
        for objective in self.objectives:
            if isinstance(objective.window, RollingWindow):
                windows.add(objective.window.seconds)
            for tier in objective.tiers:
                windows |= {tier.short, tier.long}
            if objective.spend:
                windows |= set(forecast_windows(objective.period))
        object.__setattr__(self, "windows", tuple(level.windows for level in build_levels(windows)))

    @property
    def by_id(self) -> dict[str, Objective]:
        """The objectives by id."""
        return {o.id: o for o in self.objectives}

    @property
    def horizon(self) -> int:
        """Seconds of the longest rolling window."""
        return max(w for level in self.windows for w in level)

    @property
    def shard_limit(self) -> int:
        """Series of one objective in one shard."""
        return self._share(self.series_limit)

    @property
    def usage_shard_limit(self) -> int:
        """Series of model calls in one shard."""
        return self._share(self.usage_limit)

    def _share(self, limit: int) -> int:
        """A shard's fair share of a limit, with room for an uneven spread."""
        share = limit / self.shards
        return max(1, int(share + 4 * share**0.5))

    def limit(self, objective: Objective) -> int:
        """Series that an objective may have before the rest share one."""
        spread = objective.signal == "traces"
        return self.shard_limit * self.shards if spread else self.series_limit

    def level(self, number: int) -> Level:
        """An empty level."""
        parent = GRANULARITIES[number + 1] if number + 1 < len(GRANULARITIES) else None
        return Level(GRANULARITIES[number], self.windows[number], parent)
