"""Which slice burns: the values, and pairs of values, over-represented among bad events.

For every combination of the explained dimensions the last hour's bad and total counts are kept, in
six slots of ten minutes. A value's *lift* is its share among the bad events divided by its share
among all; it counts as over-represented where there is evidence that it fails more often than
the whole (`slo.evidence`): one bad event of seven is none. Ranked is by the difference of the two
shares (Youden's J), which prefers a slice that holds most of the bad and little else: of two slices
with the same bad events the narrower wins.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from slo.decision import SliceCount
from slo.evidence import evident
from slo.model import Objective

SLOT_SECONDS = 600
SLOTS = 6
COMBINATIONS_PER_SLOT = 200
# Of all series of a shard together: about 10 MiB, or 60 MB of the longest values.
COMBINATIONS_PER_SHARD = 10_000
TRACE_IDS = 5
TOP = 5
# A hundred or so slices are looked at, so each needs more evidence than an alert.
CONFIDENCE = 0.999
# An outcome is no place: it says what went wrong, not where, and would win every ranking.
OUTCOMES = frozenset({"error.type"})
OTHER = "(other)"

Values = tuple[str, ...]
Slice = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Explanation:
    """What an alert may say of its bad events: slices best first, error types, trace ids."""

    slices: tuple[SliceCount, ...] = ()
    errors: tuple[tuple[str, int], ...] = ()
    trace_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class _Slot:
    number: int
    counts: dict[Values, list[int]] = field(default_factory=dict)
    trace_ids: dict[Values, str] = field(default_factory=dict)


@dataclass(slots=True)
class Explainer:
    """The last hour of one series by combination of its explained dimensions."""

    slots: deque[_Slot] = field(default_factory=lambda: deque(maxlen=SLOTS))

    def __len__(self) -> int:
        """Combinations held."""
        return sum(len(slot.counts) for slot in self.slots)

    def add(
        self,
        clock: float,
        values: Values,
        bad: int,
        total: int,
        trace_ids: Sequence[str],
        room: int = COMBINATIONS_PER_SLOT,
    ) -> bool:
        """Count a combination; beyond the limit of combinations a slot, it counts as `(other)`.

        Args:
            clock: Unix seconds.
            values: of the explained dimensions.
            bad: bad events.
            total: all events.
            trace_ids: of a few of the bad.
            room: further combinations that may be held.

        Returns:
            Whether the combination is a new one.
        """
        number = int(clock) // SLOT_SECONDS
        if not self.slots or self.slots[-1].number < number:
            self.slots.append(_Slot(number))
        slot = self.slots[-1]
        known = values in slot.counts
        if not known and (len(slot.counts) >= COMBINATIONS_PER_SLOT or room <= 0):
            values, known = (OTHER,) * len(values), True
        counts = slot.counts.setdefault(values, [0, 0])
        counts[0] += bad
        counts[1] += total
        if trace_ids:
            slot.trace_ids[values] = trace_ids[-1]
        return not known

    def is_over(self, clock: float) -> bool:
        """Whether all that it holds is older than the last hour."""
        return not self.slots or self.slots[-1].number <= int(clock) // SLOT_SECONDS - SLOTS

    def explain(self, clock: float, names: Sequence[str], *, money: bool = False) -> Explanation:
        """The explanation of the bad events of the last hour.

        Args:
            clock: Unix seconds.
            names: the dimensions as the user wrote them, in the order of the counted values.
            money: the counts are (nanodollars, calls); it explains where the money went.
        """
        oldest = int(clock) // SLOT_SECONDS - SLOTS
        counts: dict[Values, list[int]] = {}
        trace_ids: dict[Values, str] = {}
        for slot in self.slots:
            if slot.number <= oldest:
                continue
            trace_ids |= slot.trace_ids
            for values, (bad, total) in slot.counts.items():
                sums = counts.setdefault(values, [0, 0])
                sums[0] += bad
                sums[1] += total
        if money:
            spenders = top_spenders(names, counts)
            return Explanation(spenders, (), _examples(names, spenders, trace_ids))
        slices = rank(names, counts)
        return Explanation(slices, _errors(names, counts), _examples(names, slices, trace_ids))


def named_dimensions(objective: Objective) -> tuple[int, ...]:
    """Which of the explained dimensions name an objective's groups."""
    return tuple(i for i, field in enumerate(objective.explain) if field in objective.by)


def merged_values(values: Values, named: Sequence[int]) -> Values:
    """A combination in the series that groups beyond the limit share: which group it was is not told.

    There may be any number of those, and they would leave no room for what the bad events have in common.
    """
    return tuple(OTHER if i in named else value for i, value in enumerate(values))


def rank(names: Sequence[str], counts: Mapping[Values, Sequence[int]]) -> tuple[SliceCount, ...]:
    """The most over-represented values and pairs, best first; none where nothing stands out.

    >>> counts = {("m1", "a"): (9, 10), ("m1", "b"): (0, 40), ("m2", "a"): (1, 50)}
    >>> best = rank(("model", "tenant"), counts)[0]
    >>> best.values, best.bad, best.total, best.lift
    ((('model', 'm1'), ('tenant', 'a')), 9, 10, 9.0)
    """
    places = [i for i, name in enumerate(names) if name.split(".", 1)[-1] not in OUTCOMES]
    subsets = [(i,) for i in places] + list(combinations(places, 2))
    sums: dict[Slice, list[int]] = {}
    all_bad = all_total = 0
    for values, (bad, total) in counts.items():
        all_bad += bad
        all_total += total
        for subset in subsets:
            slice_ = tuple((names[i], values[i]) for i in subset)
            if any(value in ("", OTHER) for _, value in slice_):
                continue
            pair = sums.setdefault(slice_, [0, 0])
            pair[0] += bad
            pair[1] += total
    if all_bad <= 0 or all_total <= 0:
        return ()
    found = {
        slice_: (bad, total)
        for slice_, (bad, total) in sums.items()
        if bad > 0 and bad * all_total > total * all_bad and not _says_no_more(slice_, sums)
    }
    if not found:
        return ()
    bads, totals = np.array(list(found.values()), np.int64).T
    rate = np.full(len(bads), all_bad / all_total)
    proven = evident(bads, totals, rate, np.full(len(bads), CONFIDENCE))
    ranked = [
        (
            bad / all_bad - total / all_total,
            SliceCount(slice_, bad, total, (bad / all_bad) / (total / all_total)),
        )
        for (slice_, (bad, total)), sure in zip(found.items(), proven, strict=True)
        if sure
    ]
    ranked.sort(key=lambda scored: (-round(scored[0], 9), len(scored[1].values), scored[1].values))
    return tuple(best for _, best in ranked[:TOP])


def top_spenders(
    names: Sequence[str], counts: Mapping[Values, Sequence[int]]
) -> tuple[SliceCount, ...]:
    """The values that most money was spent on, most first; those that hold all of it say nothing.

    >>> best = top_spenders(("model", "tenant"), {("m1", "a"): (30, 2), ("m1", "b"): (10, 1)})[0]
    >>> best.values, best.bad, best.total, best.lift
    ((('tenant', 'a'),), 30, 2, 0.75)
    """
    whole = sum(money for money, _ in counts.values())
    sums: dict[Slice, list[int]] = {}
    for values, (money, calls) in counts.items():
        for name, value in zip(names, values, strict=True):
            if value not in ("", OTHER):
                pair = sums.setdefault(((name, value),), [0, 0])
                pair[0] += money
                pair[1] += calls
    ranked = [
        SliceCount(slice_, money, calls, money / whole)
        for slice_, (money, calls) in sums.items()
        if 0 < money < whole
    ]
    ranked.sort(key=lambda found: (-found.bad, found.values))
    return tuple(ranked[:TOP])


def _says_no_more(slice_: Slice, sums: Mapping[Slice, Sequence[int]]) -> bool:
    """Whether a pair leaves nothing out that one of its values alone has."""
    return len(slice_) > 1 and any(sums[(value,)] == sums[slice_] for value in slice_)


def _errors(
    names: Sequence[str], counts: Mapping[Values, Sequence[int]]
) -> tuple[tuple[str, int], ...]:
    errors: Counter[str] = Counter()
    for i, name in enumerate(names):
        if name.split(".", 1)[-1] in OUTCOMES:
            for values, (bad, _) in counts.items():
                if bad > 0 and values[i]:
                    errors[values[i]] += bad
    return tuple(sorted(errors.items(), key=lambda item: (-item[1], item[0]))[:TOP])


def _examples(
    names: Sequence[str], slices: Sequence[SliceCount], trace_ids: Mapping[Values, str]
) -> tuple[str, ...]:
    """Trace ids from the best slice first."""
    best = dict(slices[0].values) if slices else {}
    inside = [
        trace
        for values, trace in trace_ids.items()
        if all(values[i] == best.get(name, values[i]) for i, name in enumerate(names))
    ]
    return tuple(dict.fromkeys([*inside, *trace_ids.values()]))[:TRACE_IDS]
