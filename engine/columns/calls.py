"""The fields of `slo.llm` that are worked out: which span is a model call, its cost, its fault and so on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from engine.columns import _texts
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

# What each is made of; `deriving` works those out before.
DERIVED_FROM: dict[Field, tuple[Field, ...]] = {
    llm.CALL: (llm.OPERATION, llm.REQUEST_MODEL, llm.RESPONSE_MODEL),
    llm.COST: (),
    llm.UNPRICED: (llm.CALL, llm.COST),
    llm.TIME_PER_OUTPUT_TOKEN: (llm.OUTPUT_TOKENS, llm.TIME_TO_FIRST_CHUNK),
    llm.FINISH_REASON: (_FINISH_REASONS,),
    llm.FAULT: (llm.CALL, llm.ERROR_TYPE, STATUS, HTTP_STATUS),
}


def derive(which: Field, rows: "Rows") -> Column:
    """One of the derived fields, of columns that have all it is made of."""
    return _DERIVE[which](rows)


def _call(rows: "Rows") -> Column:
    operation = rows.columns[llm.OPERATION]
    is_call = rows.texts.judged(operation, lambda text: text in llm.CALLS) > 0
    for model in (llm.REQUEST_MODEL, llm.RESPONSE_MODEL):
        named = rows.columns[model].kinds == Kind.STRING
        is_call |= (operation.kinds == Kind.NIL) & named
    return _texts.truths(is_call)


def _cost(rows: "Rows") -> Column:
    values = rows.texts.numbers(rows.columns[llm.COST])
    refused = ~(np.isfinite(values) & (values >= 0)) & (rows.columns[llm.COST].kinds != Kind.NIL)
    if refused.any():
        rows.rejected[llm.COST.name] += int(refused.sum())
    # Nothing costs nothing: who sends 0 did not know the price.
    return _texts.floats(np.where(np.isfinite(values) & (values > 0), values, np.nan))


def _unpriced(rows: "Rows") -> Column:
    calls = rows.columns[llm.CALL].bits == 1
    without = calls & (rows.columns[llm.COST].kinds == Kind.NIL)
    return rows.texts.column(("", "model"), without.astype(np.int64))


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
    failed = calls & (
        (rows.columns[STATUS].bits == _STATUS_ERROR) | (error_type.kinds == Kind.STRING)
    )
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
