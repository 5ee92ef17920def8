"""Model calls one by one, the batches that hold them, and what they add up to by plain arithmetic."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from engine.columns._shared import Shared
from engine.columns.usage import CallCounter
from slo import llm
from slo.columns import Field, SpanBatch
from slo.usage.messages import EDGES, TOKEN_TYPES, UsageTotals
from tests.strategies.columns import encode

STATUS = Field("intrinsic", "status")
NUMBERS = {
    llm.INPUT_TOKENS: "input",
    llm.OUTPUT_TOKENS: "output",
    llm.CACHE_READ_TOKENS: "cache_read",
    llm.CACHE_WRITE_TOKENS: "cache_write",
    llm.REASONING_TOKENS: "reasoning",
    llm.COST: "cost",
    llm.TIME_TO_FIRST_CHUNK: "first_token",
}
FIELDS = (
    *(llm.CALL, llm.SERVICE, llm.PROVIDER, llm.REQUEST_MODEL, llm.RESPONSE_MODEL, llm.TENANT),
    *(llm.ERROR_TYPE, llm.UNPRICED, STATUS),
    *NUMBERS,
)
START = 1_790_000_000 * 10**9
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """One span; `values` are its fields, None where it has none."""

    values: dict[Field, object]
    start_ns: int = START
    duration_ns: int = 10**9
    placeable: bool = True


def batch(calls: Sequence[Call]) -> SpanBatch:
    """The spans as columns."""
    strings: list[str] = []
    columns = {each: encode([c.values.get(each) for c in calls], strings) for each in FIELDS}
    starts = [c.start_ns for c in calls]
    return SpanBatch(
        np.array(starts, np.uint64),
        np.array([c.start_ns + c.duration_ns for c in calls], np.uint64),
        columns,
        strings,
        np.zeros((len(calls), 16), np.uint8),
    )


def counted(counter: CallCounter, calls: Sequence[Call]):
    """What a counter makes of them, by shard."""
    placeable = np.array([c.placeable for c in calls], np.bool_)
    return counter.count(Shared(batch(calls)), placeable)


_texts = st.one_of(st.none(), st.sampled_from(("", "a", "b", "gpt-4o", 'say "hi"\n')))
_numbers = st.one_of(
    st.none(),
    st.integers(0, 5000),
    st.floats(0, 400),
    st.sampled_from((*EDGES, 0.0, -1, 1e9, 1e9 + 1, 1e300, "12", "many", True)),
    st.sampled_from((float("nan"), float("inf"), -0.5, 2**63 - 1)),
)


@st.composite
def one(draw: st.DrawFn) -> Call:
    """A span that may be a call, with whatever its numbers may be."""
    values: dict[Field, object] = {each: draw(_texts) for each in FIELDS if each not in NUMBERS}
    values |= {each: draw(_numbers) for each in NUMBERS}
    values[llm.CALL] = draw(st.sampled_from((True, True, True, False, None, 1, "true")))
    values[STATUS] = draw(st.sampled_from((0, 1, 2)))
    edges = [round(edge * 1e9) for edge in EDGES]
    near = st.builds(int.__add__, st.sampled_from(edges), st.integers(-1, 1))
    durations = st.one_of(near, st.integers(-5, 400 * 10**9), st.just(10**17))
    start = draw(st.sampled_from((START, START, START, 0)))
    return Call(values, start, max(draw(durations), -start), draw(st.integers(0, 9)) > 0)


@dataclass
class Sums:
    """What calls add up to, in exact numbers."""

    requests: Counter[Labels] = field(default_factory=Counter)
    tokens: Counter[Labels] = field(default_factory=Counter)
    cost: dict[Labels, Fraction] = field(default_factory=dict)
    durations: dict[Labels, list[Fraction]] = field(default_factory=dict)
    first_tokens: dict[Labels, list[Fraction]] = field(default_factory=dict)
    errors: Counter[Labels] = field(default_factory=Counter)
    unpriced: Counter[Labels] = field(default_factory=Counter)


def by_hand(calls: Iterable[Call], *, tenants: bool = True) -> Sums:
    """One call at a time."""
    sums = Sums()
    for call in calls:
        said = call.values
        if said[llm.CALL] is not True or not call.placeable:
            continue
        asked = said[llm.REQUEST_MODEL]
        asked = said[llm.RESPONSE_MODEL] if asked is None else asked
        model = (said[llm.SERVICE] or "", said[llm.PROVIDER] or "", asked or "")
        key = (*model, (said[llm.TENANT] or "") if tenants else "")
        failed = said[STATUS] == 2
        sums.requests[*key, "error" if failed else "ok"] += 1
        if failed:
            sums.errors[*model, said[llm.ERROR_TYPE] or ""] += 1
        if said[llm.UNPRICED] is not None:
            sums.unpriced[*model, said[llm.UNPRICED]] += 1
        for name in TOKEN_TYPES:
            sums.tokens[*key, name] += round(_number(call, name, 10**9) or 0)
        cost = _number(call, "cost", 10**6)
        if cost is not None:
            exact = Fraction(round(cost * 10**9), 10**9)
            sums.cost[key] = sums.cost.get(key, Fraction(0)) + exact
        if call.start_ns and 0 <= call.duration_ns <= 10**16:
            sums.durations.setdefault(key, []).append(Fraction(call.duration_ns, 10**9))
        first = _number(call, "first_token", 10**7)
        if first is not None:
            sums.first_tokens.setdefault(key, []).append(Fraction(first))
    return sums


def _number(call: Call, name: str, most: int) -> float | None:
    value = call.values[next(each for each, said in NUMBERS.items() if said == name)]
    if isinstance(value, str):
        value = float(value) if value.isdigit() else None
    if value is None or isinstance(value, bool):
        return None
    return value if 0 <= value <= most else None


def samples(text: str) -> dict[str, float]:
    """The lines of `/metrics` that are about calls."""
    lines = [line for line in text.split("\n") if line.startswith("burnline_llm_")]
    return {head: float(value) for head, _, value in (line.rpartition(" ") for line in lines)}


def total(usage: Iterable[UsageTotals]) -> dict[object, list[int]]:
    """The totals of all shards by series."""
    found: dict[object, list[int]] = {}
    for each in usage:
        for key, row in zip(each.keys, each.counts.tolist(), strict=True):
            found[key] = [a + b for a, b in zip(found.get(key, [0] * len(row)), row, strict=True)]
        for key, count in zip(each.notes, each.noted.tolist(), strict=True):
            found[key] = [found.get(key, [0])[0] + count]
    return found
