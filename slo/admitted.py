"""The groups of objectives that are over their limit of series: a short cut past what would be refused.

A shard that has no room for further series of an objective keeps those that it has for good. Whoever knows
them can count all other groups in the shard's overflow series at once, instead of sending each by name to be
refused there. Who does not know them (in another process, or just after a start) sends all, and the
counts are the same.
"""

from collections.abc import Iterable
from typing import NamedTuple

Group = tuple[str, ...]


class Where(NamedTuple):
    """A shard's part of what an objective counts."""

    objective: str
    generation: str
    shard: str


class Admitted:
    """What the shards of this process have room for; written by each shard's thread, read by any."""

    def __init__(self) -> None:
        self._groups: dict[Where, frozenset[Group]] = {}

    def close(self, where: Where, groups: Iterable[Group]) -> None:
        """No other groups than these get a series there."""
        self._groups[where] = frozenset(groups)

    def refuses(self, where: Where, group: Group) -> bool:
        """Whether a group is known to have no series of its own."""
        groups = self._groups.get(where)
        return groups is not None and group not in groups
