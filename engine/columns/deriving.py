"""From what a span carries to what was asked for: names, words and units normalised, fields worked out.

A `Deriver` knows which raw fields a kernel pass must read, and turns a batch of them into one of the
fields wanted. All of it is numpy over columns and a few words of Python for each distinct text.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.columns import _texts
from engine.columns._texts import Texts
from engine.columns.calls import DERIVED_FROM, SENT_TOO, derive
from slo.aliases import Alias, accepted, table
from slo.columns import Column, Field, Kind, SpanBatch
from slo.llm import DERIVED

_STREAM = "gen_ai.request.stream"


@dataclass(slots=True)
class Rows:
    """A batch while fields are worked out.

    Attributes:
        batch: as it was read.
        columns: raw ones, then normalised and derived ones in their place.
        texts: its strings.
        rejected: field name -> values that were there and could not be used.
    """

    batch: SpanBatch
    columns: dict[Field, Column]
    texts: Texts
    rejected: Counter[str] = field(default_factory=Counter)


class Deriver:
    """Reads and works out a set of fields.

    Args:
        fields: what is wanted.

    Attributes:
        wanted: the same, in order.
        raw: the fields that are to be read for them, each with the keys that it takes.
        firsts: those of `raw` that take the first element of an array.
        rejected: field name -> values so far that were there and could not be used.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self.wanted = tuple(dict.fromkeys(fields))
        self.raw: dict[Field, tuple[str, ...]] = {}
        self.firsts: set[Field] = set()
        self.rejected: Counter[str] = Counter()
        self._steps: dict[Field, Callable[[Rows], Column]] = {}
        for each in self.wanted:
            self._need(each)
        self.works = bool(self._steps) or list(self.raw) != list(self.wanted)

    def derive(self, batch: SpanBatch) -> SpanBatch:
        """The wanted fields of a batch of the raw ones."""
        if not self.works:
            return batch
        rows = Rows(batch, dict(batch.columns), Texts(batch.strings))
        for each, step in self._steps.items():
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
        if wanted in self._steps:
            return
        alias = table().get(wanted.name) if wanted.scope == "span" else None
        for needed in DERIVED_FROM.get(wanted, ()):
            self._need(needed)
        if wanted in DERIVED:
            if wanted in SENT_TOO:
                self._read(wanted, accepted(wanted.name))
            self._steps[wanted] = lambda rows: derive(wanted, rows)
        elif alias is None or alias.plain:
            self._read(wanted, accepted(wanted.name) if wanted.scope == "span" else (wanted.name,))
        else:
            self._need_alias(wanted, alias)

    def _need_alias(self, wanted: Field, alias: Alias) -> None:
        self._read(wanted, accepted(wanted.name))
        if alias.first:
            self.firsts.add(wanted)
        for name in (*alias.milliseconds, *alias.when_streamed, *alias.json):
            self._read(Field("span", name), (name,))
        if alias.when_streamed:
            self._need(Field("span", _STREAM))
        self._steps[wanted] = lambda rows: _normalise(wanted, alias, rows)

    def _read(self, wanted: Field, keys: tuple[str, ...]) -> None:
        self.raw.setdefault(wanted, keys)


def _normalise(wanted: Field, alias: Alias, rows: Rows) -> Column:
    columns, texts = rows.columns, rows.texts
    column = columns[wanted]
    for name in alias.milliseconds:
        values = texts.numbers(columns[Field("span", name)]) / 1000
        column = _texts.first_of(column, _texts.floats(values))
    for name in alias.when_streamed:
        kinds, bits = columns[Field("span", _STREAM)]
        streamed = (kinds == Kind.BOOL) & (bits == 1)
        other = columns[Field("span", name)]
        other = Column(np.where(streamed, other.kinds, Kind.NIL).astype(np.uint8), other.bits)
        column = _texts.first_of(column, other)
    for name, path in alias.json.items():
        column = _texts.first_of(column, _inside(columns[Field("span", name)], column, path, texts))
    if alias.first:
        column = texts.translate(column, _first)
    if alias.words:
        column = texts.translate(column, _word(alias.words))
    if alias.truth:
        column = _texts.as_truths(column, texts)
    if alias.number:
        column, rejected = _texts.as_numbers(column, texts)
        if rejected:
            rows.rejected[wanted.name] += rejected
    return column


def _word(words: Mapping[str, str]) -> Callable[[str], str]:
    return lambda text: words.get(text.lower(), text)


def _first(text: str) -> str:
    """The first of a JSON list of texts, or the text."""
    if text[:1] != "[":
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found[0] if found and isinstance(found[0], str) else text


def _inside(column: Column, known: Column, path: tuple[str, ...], texts: Texts) -> Column:
    """The texts that stand in JSON at a path, on the rows where nothing is known yet."""
    needed = (column.kinds == Kind.STRING) & (known.kinds == Kind.NIL)
    kept = Column(np.where(needed, column.kinds, Kind.NIL).astype(np.uint8), column.bits)
    return texts.translate(kept, lambda text: _at(text, path))


def _at(text: str, path: tuple[str, ...]) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
