"""From a batch of spans to what its model calls used: counts by service, provider, model and tenant."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.columns import _usage_kernel
from engine.columns._cache import Cache
from engine.columns._grouping import group_rows
from engine.columns._shared import Shared, texts
from engine.columns._usage_kernel import Bytes, Floats, Integers
from engine.spool.arrivals import Arrivals
from slo import llm
from slo.admitted import Admitted
from slo.columns import Column, Field, Kind
from slo.usage.ledger import Place, where, wider_call, wider_note
from slo.usage.messages import (
    TOKEN_TYPES,
    CallKey,
    Counts,
    Mode,
    NoteKey,
    NoteKind,
    Used,
    usage_shard_of,
)
from slo.usage.table import Wider, breadth

_STATUS = Field("intrinsic", "status")
# In the order of the kernel's numbers.
_NUMBERS = {
    llm.INPUT_TOKENS: TOKEN_TYPES[0],
    llm.OUTPUT_TOKENS: TOKEN_TYPES[1],
    llm.CACHE_READ_TOKENS: TOKEN_TYPES[2],
    llm.CACHE_WRITE_TOKENS: TOKEN_TYPES[3],
    llm.REASONING_TOKENS: TOKEN_TYPES[4],
    llm.COST: "cost",
    llm.TIME_TO_FIRST_CHUNK: "time_to_first_token",
}
_MODEL = (llm.SERVICE, llm.PROVIDER, llm.REQUEST_MODEL)
# Series whose shards are remembered.
_REMEMBERED = 100_000

K = TypeVar("K", CallKey, NoteKey)
Unusable = Callable[[str, int], None]


@dataclass(slots=True)
class Gathered:
    """What one batch holds for one shard."""

    keys: list[CallKey] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    notes: list[NoteKey] = field(default_factory=list)
    noted: list[int] = field(default_factory=list)


class CallCounter:
    """Counts what model calls used.

    Args:
        mode: the labels; `off` counts nothing.
        shards: number of virtual shards.
        admitted: what is known of shards that take no further series.
        unusable: told (field, count) of numbers that no call can have; they are left out.
    """

    def __init__(
        self,
        mode: Mode,
        shards: int,
        admitted: Admitted,
        unusable: Unusable = lambda _field, _count: None,
    ) -> None:
        self.mode = mode
        self._unusable = unusable
        self._calls = _Homes("calls", shards, admitted, wider_call)
        self._notes = _Homes("notes", shards, admitted, wider_note)

    @property
    def fields(self) -> frozenset[Field]:
        """Every field that a batch must have."""
        if self.mode == "off":
            return frozenset()
        fields = {_STATUS, llm.CALL, llm.UNPRICED, llm.ERROR_TYPE, llm.RESPONSE_MODEL}
        fields |= {*_MODEL, *_NUMBERS}
        return frozenset(fields | ({llm.TENANT} if self.mode == "full" else set()))

    def count(self, shared: Shared, placeable: NDArray[np.bool_]) -> dict[str, Gathered]:
        """What a batch holds, by shard.

        Args:
            shared: the batch.
            placeable: `bool[n]`, spans that have an end that is not ahead of its time.
        """
        if self.mode == "off":
            return {}
        kinds, bits = shared.batch.columns[llm.CALL]
        rows = np.flatnonzero((kinds == Kind.BOOL) & (bits == 1) & placeable)
        if not len(rows):
            return {}
        calls = _Calls(shared, rows, self.fields)
        found: dict[str, Gathered] = {}
        self._count_calls(calls, found)
        self._count_notes("error", calls, llm.ERROR_TYPE, calls.failed, found)
        unpriced = calls.columns[llm.UNPRICED].kinds != Kind.NIL
        self._count_notes("unpriced", calls, llm.UNPRICED, unpriced, found)
        return found

    def _count_calls(self, calls: "_Calls", found: dict[str, Gathered]) -> None:
        named = _MODEL if self.mode == "no-tenant" else (*_MODEL, llm.TENANT)
        ids, values = calls.classes(named)
        homes = [self._calls.of(CallKey(*value)) for value in values]
        numbers = {home: number for number, home in enumerate(dict.fromkeys(homes))}
        series = np.array([numbers[home] for home in homes], np.int64)
        kinds, bits, floats = zip(*map(calls.number, _NUMBERS), strict=True)
        batch = calls.shared.batch
        counts, wrong = _usage_kernel.tally(
            calls.rows,
            series[ids],
            (batch.start_ns, batch.end_ns),
            batch.columns[_STATUS].bits,
            kinds,
            bits,
            floats,
            len(numbers),
        )
        for name, count in zip((*_NUMBERS.values(), "duration"), wrong.tolist(), strict=True):
            if count:
                self._unusable(name, count)
        for (key, shard), row in zip(numbers, counts, strict=True):
            gathered = found.setdefault(shard, Gathered())
            gathered.keys.append(key)
            gathered.counts.append(row)

    def _count_notes(
        self,
        kind: NoteKind,
        calls: "_Calls",
        value: Field,
        which: NDArray[np.bool_],
        found: dict[str, Gathered],
    ) -> None:
        if not which.any():
            return
        ids, values = calls.classes((*_MODEL, value), which)
        counts = np.bincount(ids, minlength=len(values)).tolist()
        for each, count in zip(values, counts, strict=True):
            key, shard = self._notes.of(NoteKey(kind, *each))
            gathered = found.setdefault(shard, Gathered())
            gathered.notes.append(key)
            gathered.noted.append(count)


class _Calls:
    """The calls of a batch.

    Attributes:
        shared: the batch.
        rows: `int64[m]`, which of its rows are calls.
        columns: of those rows; the model asked for is, where it is not said, the one that answered.
        failed: `bool[m]`.
    """

    def __init__(self, shared: Shared, rows: NDArray[np.int64], fields: Iterable[Field]) -> None:
        self.shared = shared
        self.rows = rows
        columns = {f: shared.batch.columns[f] for f in fields if f not in _NUMBERS}
        if len(rows) < len(shared.batch):
            columns = {f: Column(c.kinds[rows], c.bits[rows]) for f, c in columns.items()}
        self.columns = columns
        asked, answered = self.columns[llm.REQUEST_MODEL], self.columns[llm.RESPONSE_MODEL]
        said = asked.kinds != Kind.NIL
        if not said.all():
            self.columns[llm.REQUEST_MODEL] = Column(
                np.where(said, asked.kinds, answered.kinds),
                np.where(said, asked.bits, answered.bits),
            )
        self.failed: NDArray[np.bool_] = self.columns[_STATUS].bits == _usage_kernel.FAILED

    def classes(
        self, named: Sequence[Field], which: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], list[tuple[str, ...]]]:
        """The calls, or some, by the values of columns: each one's class, and the classes' values."""
        some = slice(None) if which is None or which.all() else np.flatnonzero(which)
        kinds = np.stack([self.columns[each].kinds[some] for each in named])
        bits = np.stack([self.columns[each].bits[some] for each in named])
        ids, firsts = group_rows(kinds, bits)
        strings = self.shared.batch.strings
        values = [
            texts(*each, strings) for each in zip(kinds[:, firsts], bits[:, firsts], strict=True)
        ]
        return ids, list(zip(*values, strict=True))

    def number(self, which: Field) -> tuple[Bytes, Integers, Floats]:
        """A field of every row, as the kernel takes it: no texts, as some libraries send numbers."""
        kinds, bits = self.shared.batch.columns[which]
        if (kinds == Kind.STRING).any():
            read = self.shared.numbers(which)
            kinds = np.where(read.usable, Kind.FLOAT, np.where(read.unusable, Kind.OTHER, Kind.NIL))
            kinds, bits = kinds.astype(np.uint8), read.values.view(np.int64)
        bits = np.ascontiguousarray(bits)
        return np.ascontiguousarray(kinds), bits, bits.view(np.float64)


class _Homes(Generic[K]):
    """The series that a key is counted in, and its shard; remembers a bounded number of them."""

    def __init__(self, table: str, shards: int, admitted: Admitted, wider: Wider[K]) -> None:
        self._table = table
        self._shards = shards
        self._admitted = admitted
        self._wider: Wider[K] = wider
        self._known: Cache[K, tuple[K, str]] = Cache(_REMEMBERED)

    def of(self, key: K) -> tuple[K, str]:
        """The series and the shard."""
        home = self._known.get(key)
        if home is not None:
            return home
        shard = usage_shard_of(key, self._shards)
        series = key
        while (wider := self._wider(series)) is not None:
            place = where(Place(self._table, breadth(series, self._wider), shard))
            if not self._admitted.refuses(place, series):
                break
            series = wider
        if series == key:  # of the others there is no end
            self._known.put(key, (key, shard))
        return series, shard


def used(arrivals: Arrivals, shard: str, gathered: Gathered | None) -> Used:
    """The message to a shard."""
    message = Used(shard, arrivals.clock, arrivals.live, arrivals.tick, origin=arrivals.origin)
    if gathered is None:
        return message
    if gathered.keys:
        message = replace(message, keys=tuple(gathered.keys), counts=np.array(gathered.counts))
    if gathered.notes:
        noted = np.array(gathered.noted, np.int64)
        message = replace(message, notes=tuple(gathered.notes), noted=noted)
    return message
