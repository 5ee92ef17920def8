"""A bounded dictionary for what is dear to work out again."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A dictionary that forgets what was asked for longest ago.

    Args:
        size: entries kept.
        weight: of all entries together, as `put` is told; a single heavier one is not kept.

    >>> cache = Cache[str, int](1)
    >>> cache.put("a", 1); cache.put("b", 2)
    >>> cache.get("a"), cache.get("b")
    (None, 2)
    """

    def __init__(self, size: int, weight: int = 2**63) -> None:
        self._size = size
        self._most = weight
        self._weight = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 0) -> None:
        if weight > self._most:
            return
        before = self._entries.pop(key, None)
        self._weight += weight - (before[1] if before else 0)
        self._entries[key] = value, weight
        while len(self._entries) > self._size or self._weight > self._most:
            _, (_, least) = self._entries.popitem(last=False)
            self._weight -= least
