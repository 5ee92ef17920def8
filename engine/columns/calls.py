"""The fields of `slo.llm` that are worked out: which span is a model call, its cost, its fault and so on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.columns import _descent, _texts, costs
from engine.columns.memory import hashes
from engine.columns.pricing import USED
from slo import faults, llm
from slo.aliases import words
from slo.columns import Column, Field, Kind

if TYPE_CHECKING:
    from engine.columns.deriving import Rows

STATUS = Field("intrinsic", "status")
HTTP_STATUS = Field("span", "http.response.status_code")
_STATUS_ERROR = 2
_FINISH_REASONS = Field("span", "gen_ai.response.finish_reasons")
# Those that a span may carry itself.
SENT_TOO = frozenset({llm.COST, llm.TIME_PER_OUTPUT_TOKEN})

# Raw fields that nobody can ask for: a span's ids, as the eight bytes say in the machine's order, and
# a digest of what the provider calls its answer.
SPAN_ID, PARENT_ID = Field("intrinsic", "span:id"), Field("intrinsic", "span:parentID")
IDS = frozenset({SPAN_ID, PARENT_ID})
_USED = (llm.INPUT_TOKENS, llm.OUTPUT_TOKENS)
RESPONSE = Field("span", "digest:gen_ai.response.id")
_NAME = Field("intrinsic", "name")
# What else is to be read for each, with the keys that it takes.
RAW: dict[Field, dict[Field, tuple[str, ...]]] = {
    llm.CALL: {
        SPAN_ID: (SPAN_ID.name,),
        PARENT_ID: (PARENT_ID.name,),
        RESPONSE: ("gen_ai.response.id", "llm.response.id", "ai.response.id"),
        _NAME: (_NAME.name,),
        llm.SERVICE: (llm.SERVICE.name,),
    }
}
# What each is made of; `deriving` works those out before.
DERIVED_FROM: dict[Field, tuple[Field, ...]] = {
    llm.CALL: (llm.OPERATION, llm.REQUEST_MODEL, llm.RESPONSE_MODEL),
    llm.COST: (llm.CALL, *USED),
    llm.UNPRICED: (llm.COST, llm.ERROR_TYPE, STATUS, *_USED),
    llm.TIME_PER_OUTPUT_TOKEN: (llm.OUTPUT_TOKENS, llm.TIME_TO_FIRST_CHUNK),
    llm.FINISH_REASON: (_FINISH_REASONS,),
    llm.FAULT: (llm.CALL, llm.ERROR_TYPE, STATUS, HTTP_STATUS),
}


def derive(which: Field, rows: "Rows") -> Column:
    """One of the derived fields, of columns that have all it is made of."""
    return _DERIVE[which](rows)


def _call(rows: "Rows") -> Column:
    columns, texts = rows.columns, rows.texts
    operation = columns[llm.OPERATION]
    kinds = texts.judged(operation, _kind_of).astype(np.uint8)
    unnamed = operation.kinds == Kind.NIL
    for model in (llm.REQUEST_MODEL, llm.RESPONSE_MODEL):
        kinds[unnamed & (columns[model].kinds == Kind.STRING)] = _descent.GENERATES
    if not kinds.any() and not rows.memory:
        return _texts.truths(np.zeros(len(kinds), np.bool_))
    counts = rows.memory.decide(
        rows.batch,
        kinds,
        hashes(columns[llm.SERVICE], texts),
        (columns[SPAN_ID].bits.view(np.uint64), columns[PARENT_ID].bits.view(np.uint64)),
        columns[RESPONSE].bits.view(np.uint64),
        hashes(columns[_NAME], texts),
    )
    rows.duplicates = ((kinds == _descent.GENERATES) | (kinds == _descent.EMBEDS)) & ~counts
    return _texts.truths(counts)


def _kind_of(operation: str) -> int:
    if operation not in llm.CALLS:
        return _descent.OTHER
    return _descent.EMBEDS if operation == "embeddings" else _descent.GENERATES


def _cost(rows: "Rows") -> Column:
    own = rows.texts.numbers(rows.columns[llm.COST])
    dollars = own
    if not _texts.absent(rows.columns[llm.COST]):
        refused = ~(np.isfinite(own) & (own >= 0)) & (rows.columns[llm.COST].kinds != Kind.NIL)
        if refused.any():
            rows.rejected[llm.COST.name] += int(refused.sum())
        # Who sends 0 did not know the price; only the table knows that a model is free.
        dollars = np.where(np.isfinite(own) & (own > 0), own, np.nan)
    if rows.duplicates is not None:
        dollars[rows.duplicates] = np.nan
    rows.reasons = np.zeros(len(own), np.uint8)
    missing = np.flatnonzero((rows.columns[llm.CALL].bits == 1) & np.isnan(dollars))
    if len(missing):
        ends = rows.batch.end_ns[missing]
        dollars[missing], rows.reasons[missing] = rows.costs.of(
            rows.columns, rows.texts, missing, ends
        )
    return _texts.floats(dollars)


def _unpriced(rows: "Rows") -> Column:
    reasons = np.zeros(len(rows.batch), np.uint8) if rows.reasons is None else rows.reasons
    # A call that failed without any usage is not one of unknown cost, whatever its model.
    used = [rows.texts.numbers(rows.columns[each]) > 0 for each in _USED]
    nothing = _failed(rows) & ~np.logical_or(*used)
    return rows.texts.column(costs.REASONS, np.where(nothing, costs.PRICED, reasons))


def _failed(rows: "Rows") -> NDArray[np.bool_]:
    failed: NDArray[np.bool_] = rows.columns[STATUS].bits == _STATUS_ERROR
    failed |= rows.columns[llm.ERROR_TYPE].kinds == Kind.STRING
    return failed


def _time_per_output_token(rows: "Rows") -> Column:
    own = rows.texts.numbers(rows.columns[llm.TIME_PER_OUTPUT_TOKEN])
    first = rows.texts.numbers(rows.columns[llm.TIME_TO_FIRST_CHUNK])
    tokens = rows.texts.numbers(rows.columns[llm.OUTPUT_TOKENS])
    batch = rows.batch
    seconds = (batch.end_ns - batch.start_ns).view(np.int64) / 1e9
    with np.errstate(divide="ignore", invalid="ignore"):
        worked_out = (seconds - first) / (tokens - 1)
    usable = (tokens > 1) & (first >= 0) & (first <= seconds)
    worked_out = np.where(usable, worked_out, np.nan)
    return _texts.floats(np.where(np.isfinite(own) & (own >= 0), own, worked_out))


def _finish_reason(rows: "Rows") -> Column:
    meant = words("finish_reasons")
    return rows.texts.translate(
        rows.columns[_FINISH_REASONS], lambda text: meant.get(text.lower(), text)
    )


def _fault(rows: "Rows") -> Column:
    names = ("", *faults.FAULTS)
    calls = rows.columns[llm.CALL].bits == 1
    error_type = rows.columns[llm.ERROR_TYPE]
    failed = calls & _failed(rows)
    unknown = names.index(faults.UNKNOWN)
    codes = rows.texts.judged(error_type, lambda text: names.index(faults.of_type(text)))
    by_status = rows.texts.numbers(rows.columns[HTTP_STATUS])
    undecided = failed & ((codes == 0) | (codes == unknown))
    if undecided.any():
        codes[undecided] = unknown
        for status in np.unique(by_status[undecided & np.isfinite(by_status)]).tolist():
            codes[undecided & (by_status == status)] = names.index(faults.of_status(status))
    return rows.texts.column(names, np.where(failed, codes, 0))


_DERIVE: dict[Field, Callable[["Rows"], Column]] = {
    llm.CALL: _call,
    llm.COST: _cost,
    llm.UNPRICED: _unpriced,
    llm.TIME_PER_OUTPUT_TOKEN: _time_per_output_token,
    llm.FINISH_REASON: _finish_reason,
    llm.FAULT: _fault,
}
