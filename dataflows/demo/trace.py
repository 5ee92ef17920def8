"""When the demo's calls arrive and how many tokens they have: from a small table, or from a file.

The table holds figures of the conversation trace of 16 November 2023 in the Azure LLM inference
dataset (Patel et al., "Splitwise: Efficient generative LLM inference using phase splitting", ISCA
2024; data by Microsoft Azure, CC-BY-4.0). The trace itself is no part of the project.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Arrivals in sixty equal parts of the recording, which is 58.4 minutes long; here each is a minute.
ARRIVALS_A_MINUTE = (
    189, 253, 308, 360, 293, 273, 266, 259, 286, 300, 279, 302, 319, 323, 292,
    278, 263, 307, 287, 363, 313, 341, 377, 398, 379, 392, 371, 422, 493, 453,
    427, 447, 491, 437, 390, 409, 413, 458, 306, 311, 308, 317, 348, 329, 330,
    316, 353, 366, 265, 203, 237, 255, 256, 276, 251, 242, 243, 247, 219, 177,
)  # fmt: skip
PERCENTILES = (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9, 100)
INPUT_TOKENS = (
    2, 29, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734, 4083, 4142, 6179, 14050,
)  # fmt: skip
OUTPUT_TOKENS = (7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 954, 1000)

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOST_CALLS = 2_000_000
MOST_TOKENS = 100_000_000


class TrafficError(ValueError):
    """A traffic file that cannot be replayed; the message is `file:line: what, and the mend`."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls in order of arrival.

    Attributes:
        offsets: `float64[n]`, seconds after the first arrival.
        input_tokens: `int64[n]`.
        output_tokens: `int64[n]`.
        length: seconds after which the trace begins again, above the last offset.
    """

    offsets: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    length: float

    def __len__(self) -> int:
        return len(self.offsets)


def table_trace(seed: int) -> Trace:
    """An hour as the table has it: its arrivals in each minute, its distributions of tokens.

    >>> len(table_trace(1)) == sum(ARRIVALS_A_MINUTE)
    True
    """
    random = np.random.default_rng([seed, 1])
    minutes = np.repeat(np.arange(len(ARRIVALS_A_MINUTE)), ARRIVALS_A_MINUTE)
    offsets = np.sort(60.0 * (minutes + random.random(len(minutes))))
    return Trace(
        offsets,
        _tokens(random, INPUT_TOKENS, len(minutes)),
        _tokens(random, OUTPUT_TOKENS, len(minutes)),
        60.0 * len(ARRIVALS_A_MINUTE),
    )


def _tokens(
    random: np.random.Generator, quantiles: tuple[int, ...], count: int
) -> NDArray[np.int64]:
    """Draw from the distribution with these quantiles, log-linear between them."""
    drawn = np.interp(100 * random.random(count), PERCENTILES, np.log(quantiles))
    return np.rint(np.exp(drawn)).astype(np.int64)


def read_trace(path: Path) -> Trace:
    """A recorded trace as it is: CSV with the columns TIMESTAMP, ContextTokens, GeneratedTokens.

    Rows may be in any order; timestamps without a zone are taken as UTC.

    Raises:
        TrafficError: the file cannot be read, or holds no such trace.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(path, file))
    except OSError as error:
        raise TrafficError(f"{path}: {error.strerror}; name a file that can be read") from error
    except UnicodeDecodeError as error:
        raise TrafficError(f"{path}: no UTF-8 text; unpack or convert the file") from error
    if not rows:
        raise TrafficError(f"{path}:1: no calls in the file; write a row below the header")
    rows.sort(key=lambda row: row[0])
    offsets = np.array([time for time, _, _ in rows]) - rows[0][0]
    last = float(offsets[-1])
    return Trace(
        offsets,
        np.array([tokens for _, tokens, _ in rows], np.int64),
        np.array([tokens for _, _, tokens in rows], np.int64),
        last + last / (len(rows) - 1) if last > 0 else 1.0,
    )


def _rows(path: Path, lines: Iterator[str]) -> Iterator[tuple[float, int, int]]:
    """(Unix seconds, input tokens, output tokens) of every row."""
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            needed = ",".join(COLUMNS)
            raise TrafficError(
                f"{path}:1: no column {missing[0]}; the first line must name {needed}"
            )
        places = [header.index(name) for name in COLUMNS]
        count = 0
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            count += 1
            where = f"{path}:{reader.line_num}"
            if count > MOST_CALLS:
                raise TrafficError(f"{where}: more than {MOST_CALLS:,} calls; cut the file")
            if len(row) != len(header):
                raise TrafficError(
                    f"{where}: {len(row)} cells, the header has {len(header)}; complete the row"
                )
            time, given, made = (row[place].strip() for place in places)
            yield (
                _time(where, time),
                _count(where, COLUMNS[1], given),
                _count(where, COLUMNS[2], made),
            )
    except csv.Error as error:
        raise TrafficError(
            f"{path}:{reader.line_num}: no valid CSV ({error}); mend the line"
        ) from error


def _time(where: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise TrafficError(
            f"{where}: TIMESTAMP {text[:40]!r} is no moment; write such as 2023-11-16 18:15:46.680"
        ) from error


def _count(where: str, column: str, text: str) -> int:
    # int() refuses texts of some thousand digits in words of its own.
    if text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= MOST_TOKENS:
        return int(text)
    raise TrafficError(
        f"{where}: {column} {text[:40]!r} is no count of tokens; "
        f"write a whole number from 0 to {MOST_TOKENS}"
    )
