"""Where events count: the shard and the series of a group."""

from typing import NamedTuple

from slo.admitted import Admitted, Where
from slo.decision import OVERFLOW, SeriesKey
from slo.plan import shard_of

REMEMBERED = 100_000


class Place(NamedTuple):
    """A series and its shard.

    Attributes:
        key: the series.
        shard: where it is kept.
        shared: it is the overflow series, which all groups beyond the limit share.
    """

    key: SeriesKey
    shard: str
    shared: bool = False


class Places:
    """Finds places; remembers a bounded number of them.

    Args:
        shards: number of virtual shards.
        admitted: what is known of shards that take no further series.
    """

    def __init__(self, shards: int, admitted: Admitted) -> None:
        self._shards = shards
        self._admitted = admitted
        self._known: dict[SeriesKey, Place] = {}
        self._overflow: dict[Where, Place] = {}

    def of(self, key: SeriesKey) -> Place:
        """The place of a series."""
        place = self._known.get(key)
        if place is not None:
            return place
        shard = shard_of(key, self._shards)
        where = Where(key.objective, key.generation, shard)
        if key.group and self._admitted.refuses(where, key.group):
            # Not remembered: there is no end of those.
            return self._shared(where, len(key.group))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        place = self._known[key] = Place(key, shard)
        return place

    def _shared(self, where: Where, width: int) -> Place:
        place = self._overflow.get(where)
        if place is None:
            key = SeriesKey(where.objective, (OVERFLOW,) * width, where.generation)
            place = self._overflow[where] = Place(key, where.shard, shared=True)
        return place
