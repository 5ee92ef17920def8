"""What the engine makes of a capture, call by call, through its own `Reader`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.columns.spans import Reader
from slo import llm
from slo.columns import Field, Kind, SpanBatch

CAPTURES = Path(__file__).parent / "captures"
STATUS = Field("intrinsic", "status")
NUMBERS = {
    "input": llm.INPUT_TOKENS,
    "output": llm.OUTPUT_TOKENS,
    "cache_read": llm.CACHE_READ_TOKENS,
    "cache_write": llm.CACHE_WRITE_TOKENS,
    "reasoning": llm.REASONING_TOKENS,
    "first_chunk": llm.TIME_TO_FIRST_CHUNK,
    "cost": llm.COST,
}
WORDS = {
    "provider": llm.PROVIDER,
    "model": llm.REQUEST_MODEL,
    "answered_by": llm.RESPONSE_MODEL,
    "operation": llm.OPERATION,
    "error": llm.ERROR_TYPE,
    "fault": llm.FAULT,
    "finish": llm.FINISH_REASON,
    "unpriced": llm.UNPRICED,
}
FIELDS = (llm.CALL, STATUS, *NUMBERS.values(), *WORDS.values())


class Seen(NamedTuple):
    """A call as the engine sees it; None where it sees nothing."""

    failed: bool
    numbers: dict[str, float | None]
    words: dict[str, str | None]


def captured(name: str) -> bytes:
    """The spans that a library sent when it was run for the captures."""
    return (CAPTURES / f"{name}.binpb").read_bytes()


def _cell(batch: SpanBatch, field: Field, row: int) -> object:
    column = batch.columns[field]
    bits = column.bits[row]
    match Kind(column.kinds[row]):
        case Kind.STRING:
            return batch.strings[bits]
        case Kind.FLOAT:
            return float(bits.view(np.float64))
        case Kind.NIL:
            return None
        case _:
            return int(bits)


def calls(sent: bytes) -> list[Seen]:
    """The calls in what a library sent, in the order in which they ended."""
    batch = Reader(FIELDS).read([sent])
    rows = [row for row in np.argsort(batch.end_ns) if _cell(batch, llm.CALL, row) == 1]
    return [
        Seen(
            _cell(batch, STATUS, row) == 2,
            {key: _cell(batch, field, row) for key, field in NUMBERS.items()},
            {key: _cell(batch, field, row) for key, field in WORDS.items()},
        )
        for row in rows
    ]
