"""Holds together what a step gets from several parts of an input, until all of them are up to date.

After a restart each part is read again from its last snapshot, at its own pace. A step that took what comes
as it comes would move its windows on with the fastest part, and find what the others bring too late. So what
runs ahead waits, and is passed on in the order of the clocks, until every part is live; from then on nothing
waits.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from slo.origins import Origin


class Message(Protocol):
    """What comes from a part: clocks of one part never go back."""

    @property
    def clock(self) -> float:
        """Unix seconds."""

    @property
    def live(self) -> bool:
        """False while the part reads what was read before a restart."""

    @property
    def origin(self) -> Origin:
        """The part."""


M = TypeVar("M", bound=Message)
# By clock; of one part, in the order in which it was read.
_Place = tuple[float, str, int]


@dataclass(slots=True)
class _Part:
    """A part that was heard of.

    Attributes:
        clock: of its newest message.
        parts: how many there are, as it said last.
        live: it has read all that had been read before the start.
    """

    clock: float
    parts: int
    live: bool


class Together(Generic[M]):
    """Messages of all parts, in one order while any of them replays.

    The order does not depend on which part is read faster, as long as what is live is later than what is
    replayed. A live part may have nothing more to say, so nothing waits for it.

    Liveness is no state: after a restart it begins anew. What is held is, see `held`.

    Args:
        held: what had been held when the snapshot was taken.
    """

    def __init__(self, held: Sequence[M] = ()) -> None:
        self._all_live = False
        self._heard: dict[str, _Part] = {}
        self._count = 0
        self._held: list[tuple[_Place, M]] = []
        for message in held:
            self._hold(message)

    def held(self) -> list[M]:
        """What waits, in its order; a snapshot keeps it."""
        return [message for _, message in sorted(self._held, key=_place)]

    def take(self, messages: list[M]) -> list[M]:
        """What is to be counted now, in order; what was held before a part became live is not live."""
        last = messages[-1]
        if last.origin.parts <= 1 and not self._held:
            # As it is: nothing to look at, nothing to copy.
            self._all_live = self._all_live or last.live
            return messages
        if self._all_live:
            return [_as(m, live=True) for m in sorted(messages, key=attrgetter("clock"))]
        passed: list[M] = []
        for message in messages:
            if self._all_live:
                passed.append(_as(message, live=True))
            else:
                passed += self._one(message)
        return passed

    def _one(self, message: M) -> list[M]:
        origin = message.origin
        part = self._heard.setdefault(origin.part, _Part(message.clock, origin.parts, live=False))
        part.clock, part.parts = max(part.clock, message.clock), origin.parts
        part.live = part.live or message.live
        self._hold(message)
        parts = max(each.parts for each in self._heard.values())
        if sum(each.live for each in self._heard.values()) >= parts:
            self._all_live = True
            everything = self.held()
            self._held = []
            # Decided on once everything is counted; what comes before that is not up to date.
            return [*(_as(m, live=False) for m in everything[:-1]), _as(everything[-1], live=True)]
        if len(self._heard) < parts:
            return []
        slowest = min((each.clock, name) for name, each in self._heard.items() if not each.live)
        passed = []
        while self._held and self._held[0][0][:2] <= slowest:
            passed.append(_as(heapq.heappop(self._held)[1], live=False))
        return passed

    def _hold(self, message: M) -> None:
        self._count += 1
        place = (message.clock, message.origin.part, self._count)
        heapq.heappush(self._held, (place, message))


def _place(held: tuple[_Place, Any]) -> _Place:
    return held[0]


def _as(message: M, *, live: bool) -> M:
    # Messages are dataclasses, which a protocol can't say.
    return message if message.live == live else replace(message, live=live)  # type: ignore[type-var]
