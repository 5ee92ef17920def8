"""From what a span carries to what was asked for: names, words and units normalised, fields worked out.

A `Deriver` knows which raw fields a kernel pass must read, and turns a batch of them into one of the
fields wanted. All of it is numpy over columns and a few words of Python for each distinct text.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.columns import _texts
from engine.columns._texts import Texts
from engine.columns.calls import DERIVED_FROM, RAW, RESPONSE, SENT_TOO, derive
from engine.columns.memory import CallMemory
from engine.columns.pricing import Costs
from slo import llm
from slo.aliases import Alias, accepted, table
from slo.columns import Column, Field, Kind, SpanBatch
from slo.llm import DERIVED

_STREAM = "gen_ai.request.stream"
EXCEPTION = "exception"
_CACHED = (llm.CACHE_READ_TOKENS, llm.CACHE_WRITE_TOKENS)


@dataclass(slots=True)
class Rows:
    """A batch while fields are worked out.

    Attributes:
        batch: as it was read.
        columns: raw ones, then normalised and derived ones in their place.
        texts: its strings.
        memory: of the spans before it.
        costs: what calls cost.
        rejected: field name -> values that were there and could not be used.
        duplicates: rows of calls that another row stands for, once calls were found.
        reasons: why a row has no cost, once costs were.
    """

    batch: SpanBatch
    columns: dict[Field, Column]
    texts: Texts
    memory: CallMemory
    costs: Costs
    rejected: Counter[str] = field(default_factory=Counter)
    duplicates: NDArray[np.bool_] | None = None
    reasons: NDArray[np.uint8] | None = None


class Deriver:
    """Reads and works out a set of fields.

    Args:
        fields: what is wanted.

    Attributes:
        wanted: the same, in order.
        raw: the fields that are to be read for them, each with the keys that it takes.
        firsts: those of `raw` that take the first element of an array.
        digests: those of `raw` that are a digest of a text.
        events: those of `raw` that are the time of a span's first event of a name.
        exceptions: those of `raw` that are an attribute of a span's last exception.
        steps: what is worked out, in order, and how.
        rejected: field name -> values so far that were there and could not be used.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self.wanted = tuple(dict.fromkeys(fields))
        self.raw: dict[Field, tuple[str, ...]] = {}
        self.firsts: set[Field] = set()
        self.digests: set[Field] = set()
        self.events: dict[Field, str] = {}
        self.exceptions: dict[Field, str] = {}
        self.rejected: Counter[str] = Counter()
        self._costs = Costs()
        self.steps: dict[Field, Callable[[Rows], Column]] = {}
        for each in self.wanted:
            self._need(each)
        self.works = bool(self.steps) or list(self.raw) != list(self.wanted)

    def derive(self, batch: SpanBatch, memory: CallMemory | None = None) -> SpanBatch:
        """The wanted fields of a batch of the raw ones.

        Args:
            batch: what was read.
            memory: of spans of earlier batches, some of which may be of the same calls.
        """
        if not self.works:
            return batch
        memory = CallMemory() if memory is None else memory
        rows = Rows(batch, dict(batch.columns), Texts(batch.strings), memory, self._costs)
        for each, step in self.steps.items():
            rows.columns[each] = step(rows)
        self.rejected += rows.rejected
        return SpanBatch(
            start_ns=batch.start_ns,
            end_ns=batch.end_ns,
            columns={each: rows.columns[each] for each in self.wanted},
            strings=rows.texts.strings,
            trace_ids=batch.trace_ids,
        )

    def _need(self, wanted: Field) -> None:
        if wanted in self.steps:
            return
        alias = table().get(wanted.name) if wanted.scope == "span" else None
        for needed in DERIVED_FROM.get(wanted, ()):
            self._need(needed)
        for needed, keys in RAW.get(wanted, {}).items():
            self._read(needed, keys)
            if needed == RESPONSE:
                self.digests.add(needed)
        if wanted in DERIVED:
            if wanted in SENT_TOO:
                self._read(wanted, accepted(wanted.name))
            self.steps[wanted] = lambda rows: derive(wanted, rows)
        elif alias is None or alias.plain:
            self._read(wanted, accepted(wanted.name) if wanted.scope == "span" else (wanted.name,))
        else:
            self._need_alias(wanted, alias)

    def _need_alias(self, wanted: Field, alias: Alias) -> None:
        self._read(wanted, accepted(wanted.name))
        if alias.first:
            self.firsts.add(wanted)
        for name in (
            *alias.milliseconds, *alias.when_streamed, *alias.json, *alias.count, *alias.at_last
        ):  # fmt: skip
            self._read(Field("span", name), (name,))
        if alias.without_cached:
            for name in alias.without_cached["sender"]:
                self._read(Field("span", name), (name,))
            for needed in (llm.PROVIDER, *_CACHED):
                self._need(needed)
        if alias.unless_zero:
            other = Field("span", alias.unless_zero)
            self._read(other, accepted(other.name))
        for name in alias.events:
            self._read(_event(name), ())
            self.events[_event(name)] = name
        if alias.exception:
            self._read(_exception(alias.exception), ())
            self.exceptions[_exception(alias.exception)] = alias.exception
        if alias.when_streamed:
            self._need(Field("span", _STREAM))
        self.steps[wanted] = lambda rows: _normalise(wanted, alias, rows)

    def _read(self, wanted: Field, keys: tuple[str, ...]) -> None:
        self.raw.setdefault(wanted, keys)


def _event(name: str) -> Field:
    return Field("intrinsic", f"event:{name}")


def _exception(name: str) -> Field:
    return Field("intrinsic", f"exception:{name}")


def _normalise(wanted: Field, alias: Alias, rows: Rows) -> Column:
    column, texts = _found(wanted, alias, rows), rows.texts
    if alias.first:
        column = texts.translate(column, _first)
    if alias.last:
        column = texts.translate(column, _last)
    if alias.words:
        column = texts.translate(column, _word(alias.words))
    if alias.truth:
        column = _texts.as_truths(column, texts)
    if alias.number:
        column, rejected = _texts.as_numbers(column, texts)
        if rejected:
            rows.rejected[wanted.name] += rejected
    if alias.unless_zero:
        other = rows.batch.columns[Field("span", alias.unless_zero)]
        column = _known(column, other, texts)
    if alias.without_cached:
        column = _with_cached(column, alias, rows)
    return column


def _found(wanted: Field, alias: Alias, rows: Rows) -> Column:
    """The first that a span has of all ways in which an attribute is sent."""
    columns, texts = rows.columns, rows.texts
    column = columns[wanted]
    for name in _sent(columns, alias.milliseconds):
        values = texts.numbers(columns[Field("span", name)]) / 1000
        column = _texts.first_of(column, _texts.floats(values))
    if when_streamed := _sent(columns, alias.when_streamed):
        kinds, bits = columns[Field("span", _STREAM)]
        streamed = (kinds == Kind.BOOL) & (bits == 1)
        for name in when_streamed:
            other = columns[Field("span", name)]
            other = Column(np.where(streamed, other.kinds, Kind.NIL).astype(np.uint8), other.bits)
            column = _texts.first_of(column, other)
    for name in alias.events:
        column = _texts.first_of(column, _since_start(columns[_event(name)], rows.batch))
    if alias.exception:
        column = _texts.first_of(column, columns[_exception(alias.exception)])
    for name in _sent(columns, alias.count):
        found = _counted(columns[Field("span", name)], column, alias.count[name], texts)
        column = _texts.first_of(column, found)
    for name in _sent(columns, alias.json):
        found = _inside(columns[Field("span", name)], column, alias.json[name], texts)
        column = _texts.first_of(column, found)
    for name in alias.at_last:
        column = _texts.first_of(column, columns[Field("span", name)])
    return column


def _sent(columns: Mapping[Field, Column], names: Iterable[str]) -> list[str]:
    """The names that some span has; no library uses more than one or two."""
    return [name for name in names if not _texts.absent(columns[Field("span", name)])]


def _since_start(times: Column, batch: SpanBatch) -> Column:
    if _texts.absent(times):
        return times
    there = (times.kinds == Kind.INT) & (times.bits.view(np.uint64) >= batch.start_ns)
    seconds = (times.bits.view(np.uint64) - batch.start_ns).view(np.int64) / 1e9
    return _texts.floats(np.where(there, seconds, np.nan))


def _word(words: Mapping[str, str]) -> Callable[[str], str]:
    return lambda text: words.get(text.lower(), text)  # an empty text is absent


def _last(text: str) -> str:
    return text.rpartition(".")[2] or text


def _first(text: str) -> str:
    """The first of a JSON list of texts, or the text."""
    if text[:1] != "[":
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found[0] if found and isinstance(found[0], str) else text


def _inside(column: Column, known: Column, key: str, texts: Texts) -> Column:
    """The texts that stand in JSON under a key, on the rows where nothing is known yet."""
    needed = (column.kinds == Kind.STRING) & (known.kinds == Kind.NIL)
    kept = Column(np.where(needed, column.kinds, Kind.NIL).astype(np.uint8), column.bits)
    return texts.translate(kept, lambda text: _at(text, key))


def _counted(column: Column, known: Column, key: str, texts: Texts) -> Column:
    """The whole numbers behind a key, on the rows where nothing is known yet."""
    needed = (column.kinds == Kind.STRING) & (known.kinds == Kind.NIL)
    pattern = re.compile(rf"""["']{re.escape(key)}["']: (\d{{1,15}})\b""")

    def number(text: str) -> int:
        found = pattern.search(text)
        return int(found[1]) + 1 if found else 0

    kept = Column(np.where(needed, column.kinds, Kind.NIL).astype(np.uint8), column.bits)
    found = texts.judged(kept, number)
    return Column(
        np.where(found > 0, Kind.INT, Kind.NIL).astype(np.uint8), np.where(found > 0, found - 1, 0)
    )


def _known(column: Column, other: Column, texts: Texts) -> Column:
    """Without zeros that stand beside another zero: no call uses no tokens at all."""
    zero = (column.kinds == Kind.INT) & (column.bits == 0)
    if not zero.any():
        return column
    beside = texts.numbers(other)
    unknown = zero & ~(beside > 0)
    return Column(np.where(unknown, Kind.NIL, column.kinds).astype(np.uint8), column.bits)


def _with_cached(column: Column, alias: Alias, rows: Rows) -> Column:
    """With cached tokens added where a sender leaves them out."""
    columns, texts = rows.columns, rows.texts
    rule = alias.without_cached
    if all(_texts.absent(columns[each]) for each in _CACHED):
        return column
    cached = np.zeros(len(rows.batch))
    for which in _CACHED:
        cached += np.nan_to_num(texts.numbers(columns[which]))
    may = (column.kinds == Kind.INT) & (cached > 0)
    if not may.any():
        return column
    provided = texts.judged(columns[llm.PROVIDER], lambda text: text == rule["provider"]) > 0
    apart = cached > column.bits
    for name, value in rule["sender"].items():
        sent = texts.translate(columns[Field("span", name)], _is(value))
        apart |= sent.kinds == Kind.STRING
    added = np.where(may & provided & apart, cached, 0).astype(np.int64)
    return Column(column.kinds, column.bits + added)


def _is(value: str) -> Callable[[str], str]:
    """Keeps a text, and no other."""
    return lambda text: text if text == value else ""


def _at(text: str, key: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
