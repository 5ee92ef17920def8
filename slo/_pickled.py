"""What snapshots are made of: lists that only grow, and dataclasses out of those of an earlier version."""

import pickle
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")
# Items that are pickled together.
BLOCK = 1024


def completed(value: T) -> T:
    """The value, with the defaults of the fields that its class did not have when it was pickled.

    Pickle restores only the fields that it saved; those of a class with slots are then missing.
    """
    for each in fields(value):  # type: ignore[arg-type]  # a dataclass, as all that snapshots keep
        if not hasattr(value, each.name):
            if each.default_factory is not MISSING:
                object.__setattr__(value, each.name, each.default_factory())
            else:
                object.__setattr__(value, each.name, each.default)
    return value


class Blocks:
    """Pickles a list that only grows, block by block: what was pickled once is not again.

    >>> blocks = Blocks()
    >>> unpickled(blocks.of(["a", "b"]))
    ['a', 'b']
    """

    def __init__(self) -> None:
        self._sealed: list[bytes] = []

    def of(self, items: Sequence[object]) -> list[bytes]:
        """The list's blocks; it must be the one of the time before, perhaps longer."""
        while len(items) - BLOCK * len(self._sealed) >= BLOCK:
            first = BLOCK * len(self._sealed)
            block = list(items[first : first + BLOCK])
            self._sealed.append(pickle.dumps(block, pickle.HIGHEST_PROTOCOL))
        rest = list(items[BLOCK * len(self._sealed) :])
        return [*self._sealed, pickle.dumps(rest, pickle.HIGHEST_PROTOCOL)]


def unpickled(blocks: Sequence[Any]) -> list[Any]:
    """The list that blocks are of; of an earlier version it is the list itself."""
    if not blocks or not isinstance(blocks[0], bytes):
        return list(blocks)
    return [item for block in blocks for item in pickle.loads(block)]  # noqa: S301  our own snapshot
