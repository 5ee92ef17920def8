"""The usage of one shard: what its calls have used so far."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slo.admitted import Admitted, Where
from slo.decision import OVERFLOW
from slo.usage.messages import WIDTH, CallKey, NoteKey, UsageTotals, Used
from slo.usage.table import Table


class Place(NamedTuple):
    """Keys of a breadth in a table of a shard."""

    table: str
    breadth: int
    shard: str


class Ledger:
    """Adds up what a shard is told of, and tells its totals.

    Args:
        shards: how many shards there are.
        limit: series of calls, and of notes, in this shard before further ones are counted together.
        tenants: whether tenants have series of their own; where not, those that had are added together.
        admitted: told when there is no room for further series.
    """

    def __init__(
        self, shards: int, limit: int, admitted: Admitted, *, tenants: bool = True
    ) -> None:
        self.shards = shards
        self.tenants = tenants
        self.admitted = admitted
        self.calls: Table[CallKey] = Table(WIDTH, limit, wider_call)
        self.notes: Table[NoteKey] = Table(1, limit, wider_note)
        self._closed: set[Place] = set()
        # Something has been counted that no totals have told.
        self._untold = True

    def take(self, used: Used) -> UsageTotals | None:
        """Count, and tell the totals with a live tick if there is news, or if nothing was told yet."""
        if used.counts is not None:
            self.calls.add(used.keys, used.counts)
            self._untold = True
        if used.noted is not None:
            self.notes.add(used.notes, used.noted[:, None])
            self._untold = True
        if used.counts is not None or used.noted is not None:
            self._close(used.shard)
        if not (used.tick and used.live and self._untold):
            return None
        self._untold = False
        return UsageTotals(
            used.shard,
            used.clock,
            self.shards,
            self.calls.keys,
            self.calls.counts,
            self.notes.keys,
            self.notes.counts[:, 0],
        )

    def state(self) -> dict[str, object]:
        """What a snapshot keeps; plain values, to be pickled at once."""
        return {"calls": self.calls.save(), "notes": self.notes.save()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot, perhaps without the tenants that it was taken with."""
        keys, counts = state["calls"]
        if not self.tenants:
            keys = [key._replace(tenant="") for key in keys]
        self.calls.restore(keys, counts)
        self.notes.restore(*state["notes"])

    def _close(self, shard: str) -> None:
        for steps in self.calls.full():
            self._close_at(Place("calls", steps, shard), self.calls.keys)
        for steps in self.notes.full():
            self._close_at(Place("notes", steps, shard), self.notes.keys)

    def _close_at(self, place: Place, keys: Sequence[CallKey | NoteKey]) -> None:
        if place not in self._closed:
            self._closed.add(place)
            self.admitted.close(where(place), keys)


def where(place: Place) -> Where:
    """A place among what is admitted; no objective is named so."""
    return Where(f"\x00{place.table} {place.breadth}", "", place.shard)


def wider_call(key: CallKey) -> CallKey | None:
    """Tenants are many; without room for them the totals of models stay right as long as they can."""
    if key.tenant not in ("", OVERFLOW):
        return key._replace(tenant=OVERFLOW)
    widest = CallKey(OVERFLOW, OVERFLOW, OVERFLOW, key.tenant)
    return None if key == widest else widest


def wider_note(key: NoteKey) -> NoteKey | None:
    """Without room for a value it is left open, then all else."""
    if key.value != OVERFLOW:
        return key._replace(value=OVERFLOW)
    widest = NoteKey(key.kind, OVERFLOW, OVERFLOW, OVERFLOW, OVERFLOW)
    return None if key == widest else widest
