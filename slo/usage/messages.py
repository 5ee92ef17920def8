"""What the usage steps of the flow tell each other: counts of calls in, their totals out once a second.

Totals are whole numbers (dollars in 1e-9, seconds in 1e-6), so that their sums are the same in any order.
"""

import zlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo.origins import WHOLE, Origin

Counts = NDArray[np.int64]
# By which labels: all, all but the tenant, or no series at all.
Mode = Literal["full", "no-tenant", "off"]
MODES: tuple[Mode, ...] = ("full", "no-tenant", "off")

# Upper edges of the histograms' buckets in seconds, one set for whole calls and for first tokens. Closest
# where objectives of LLM applications are: 0.5 to 30 s.
EDGES = (
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    *(5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0),
)
TOKEN_TYPES = ("input", "output", "cache_read", "cache_write", "reasoning")

# Columns of the counts of a series of calls.
OK, ERROR = 0, 1
TOKENS = 2  # and on, one a type
NANODOLLARS = TOKENS + len(TOKEN_TYPES)
PRICED = NANODOLLARS + 1  # calls that have a cost
DURATION_US, FIRST_TOKEN_US = PRICED + 1, PRICED + 2
# Calls by bucket, those above the last edge in one more; buckets are not cumulative here.
DURATIONS = FIRST_TOKEN_US + 1
FIRST_TOKENS = DURATIONS + len(EDGES) + 1
WIDTH = FIRST_TOKENS + len(EDGES) + 1
# A sum stays here, rather than wrap: two of them can still be added in an int64.
MOST = 2**62 - 1


class CallKey(NamedTuple):
    """A series of calls; what a span does not say is empty."""

    service: str
    provider: str
    model: str
    tenant: str = ""


NoteKind = Literal["error", "unpriced"]


class NoteKey(NamedTuple):
    """A series of calls that something is to be said of: why they failed, or why they have no cost."""

    kind: NoteKind
    service: str
    provider: str
    model: str
    value: str


def usage_shard_of(key: CallKey | NoteKey, shards: int) -> str:
    """The virtual shard of a series: the same on every machine, for ever.

    >>> usage_shard_of(CallKey("chat-api", "openai", "gpt-4o", "t1"), 16)
    '13'
    """
    return str(zlib.crc32("\x00".join(key).encode()) % shards)


@dataclass(frozen=True, slots=True)
class Used:
    """What one batch of arrivals holds for one shard of usage; empty for a mere tick of the clock.

    Attributes:
        shard: the shard's key.
        clock: Unix seconds at which this arrived.
        live: False while what is read was read before a restart already.
        tick: totals are to be told.
        keys: series of calls; one may be there twice.
        counts: `int64[keys, WIDTH]`, to be added to them.
        notes: series of notes.
        noted: `int64[notes]`, calls to be added to them.
        origin: the part of the input that it comes from.
    """

    shard: str
    clock: float
    live: bool = True
    tick: bool = False
    keys: tuple[CallKey, ...] = ()
    counts: Counts | None = None
    notes: tuple[NoteKey, ...] = ()
    noted: Counts | None = None
    origin: Origin = WHOLE


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What a shard has counted so far.

    Attributes:
        shard: the shard's key.
        clock: Unix seconds up to which was counted.
        shards: how many there are.
        keys: series of calls; the same object until there are more.
        counts: `int64[keys, WIDTH]`.
        notes: series of notes; likewise.
        noted: `int64[notes]`.
    """

    shard: str
    clock: float
    shards: int
    keys: tuple[CallKey, ...]
    counts: Counts
    notes: tuple[NoteKey, ...]
    noted: Counts
