"""Where events count: the shard and the series of a group."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo.admitted import Admitted, Where
from slo.decision import OVERFLOW, SeriesKey
from slo.plan import shard_of

# Of all objectives together, from one batch to the next.
REMEMBERED = 100_000
Group = tuple[str, ...] | None


class Place(NamedTuple):
    """A series and its shard.

    Attributes:
        key: the series.
        shard: number of the shard where it is kept.
        shared: it is the overflow series, which all groups beyond the limit share.
    """

    key: SeriesKey
    shard: int
    shared: bool = False


class Found(NamedTuple):
    """The places of some groups of one objective, each known by a number.

    Attributes:
        numbers: `int64[groups]`, the number of each one's place.
        keys: by number, the series.
        shards: `int64`, by number: the shard.
        shared: `bool`, by number: it is the overflow series, which all groups beyond the limit share.
    """

    numbers: NDArray[np.int64]
    keys: Sequence[SeriesKey]
    shards: NDArray[np.int64]
    shared: NDArray[np.bool_]


class _Known:
    """Places of one objective."""

    def __init__(self, objective: str, generation: str) -> None:
        self.objective = objective
        self.generation = generation
        self.numbers: dict[Group, int] = {}
        self.overflow: dict[int, int] = {}
        self.keys: list[SeriesKey] = []
        self.shards = np.zeros(0, np.int64)
        self.shared = np.zeros(0, np.bool_)

    def extend(self, places: Sequence[Place]) -> None:
        """Keep those that are numbered already."""
        self.keys += [place.key for place in places]
        shards = np.array([place.shard for place in places], np.int64)
        shared = np.array([place.shared for place in places], np.bool_)
        self.shards = np.append(self.shards, shards)
        self.shared = np.append(self.shared, shared)


class Places:
    """Finds places; remembers a bounded number of them.

    Args:
        shards: number of virtual shards.
        admitted: what is known of shards that take no further series.
    """

    def __init__(self, shards: int, admitted: Admitted) -> None:
        self._shards = shards
        self._admitted = admitted
        self._known: dict[tuple[str, str], _Known] = {}
        self._remembered = 0

    def __len__(self) -> int:
        """Groups whose places are remembered."""
        return sum(len(known.numbers) for known in self._known.values())

    def of(self, key: SeriesKey) -> Place:
        """The place of a series."""
        found = self.of_groups(key.objective, key.generation, [key.group])
        number = int(found.numbers[0])
        return Place(found.keys[number], int(found.shards[number]), bool(found.shared[number]))

    def of_groups(self, objective: str, generation: str, groups: Sequence[Group]) -> Found:
        """The places of many groups; what is found stays valid whatever is forgotten later."""
        known = self._known.get((objective, generation))
        if known is None:
            known = self._known[objective, generation] = _Known(objective, generation)
        numbers = list(map(known.numbers.get, groups))
        if None in numbers:
            numbers = self._learn(known, groups, numbers)
        found = Found(np.array(numbers, np.int64), known.keys, known.shards, known.shared)
        if self._remembered > REMEMBERED:
            self._known.clear()
            self._remembered = 0
        return found

    def _learn(
        self, known: _Known, groups: Sequence[Group], numbers: list[int | None]
    ) -> list[int | None]:
        """Number the places of the groups that have none yet."""
        fresh: list[Place] = []
        before, size = len(known.numbers), len(known.keys)
        for at, group in enumerate(groups):
            if numbers[at] is not None:
                continue
            number = known.numbers.get(group)
            if number is None:
                key = SeriesKey(known.objective, group, known.generation)
                shard = shard_of(key, self._shards)
                if group and self._admitted.refuses(
                    Where(key.objective, key.generation, shard), group
                ):
                    # Not remembered: there is no end of those.
                    number = known.overflow.get(int(shard))
                    place = Place(
                        key._replace(group=(OVERFLOW,) * len(group)), int(shard), shared=True
                    )
                    if number is None:
                        number = known.overflow[int(shard)] = size + len(fresh)
                        fresh.append(place)
                else:
                    number = known.numbers[group] = size + len(fresh)
                    fresh.append(Place(key, int(shard)))
            numbers[at] = number
        known.extend(fresh)
        self._remembered += len(known.numbers) - before
        return numbers
