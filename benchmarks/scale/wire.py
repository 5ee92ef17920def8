"""Bytes on the wires: of a span in Kafka, and of what workers tell each other; what pickling that takes."""

import pickle
import time
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import zstandard

from benchmarks.scale import measuring
from benchmarks.traffic import payload
from slo.messages import Deposit

SPANS = 1000
CLOCK = 1_800_000_000.0
ROUNDS = 10
SERIES_TENANTS = 100


class Exchange(NamedTuple):
    """What a deposit costs that goes to another process.

    Attributes:
        fixed_bytes: of one that says nothing but the time.
        entry_bytes: more for each series in it.
        fixed_seconds: of the processor, pickling and unpickling.
        entry_seconds: likewise, more for each series.
    """

    fixed_bytes: float
    entry_bytes: float
    fixed_seconds: float
    entry_seconds: float


def spans() -> dict[str, float]:
    """Bytes of a span in requests of a thousand, by compression."""
    bodies = [payload(SPANS, int(CLOCK * 1e9), seed) for seed in range(4)]
    ways: dict[str, Callable[[bytes], bytes]] = {
        "none": lambda body: body,
        "gzip": lambda body: zlib.compress(body, 6),
        "zstd": zstandard.ZstdCompressor().compress,
    }
    return {
        name: sum(len(way(body)) for body in bodies) / SPANS / len(bodies)
        for name, way in ways.items()
    }


def exchange() -> Exchange:
    """Of a batch's deposits as they are measured, and of one that says nothing."""
    empty = [("7", Deposit("7", CLOCK, watermarks=(CLOCK, 0.0)))]
    full = measured(SERIES_TENANTS)
    series = sum(len(deposit.keys) for _, deposit in full)
    size, whole = _size(empty), _size(full)
    seconds, spent = _seconds(empty), _seconds(full)
    return Exchange(
        size,
        (whole - len(full) * size) / series,
        seconds,
        (spent - len(full) * seconds) / series,
    )


def measured(tenants: int) -> list[tuple[str, Deposit]]:
    """What a batch of spans of so many tenants leads to."""
    measurer, arrivals = measuring.batch(tenants)
    return [(n, d) for n, d in measurer.measure(arrivals) if isinstance(d, Deposit)]


def _size(deposits: Sequence[tuple[str, Deposit]]) -> int:
    return sum(len(pickle.dumps(each)) for each in deposits)


def _seconds(deposits: Sequence[tuple[str, Deposit]]) -> float:
    began = time.thread_time()
    for _ in range(ROUNDS):
        for each in deposits:
            pickle.loads(pickle.dumps(each))  # noqa: S301  just made
    return (time.thread_time() - began) / ROUNDS


def main() -> None:
    """Print them."""
    for name, size in spans().items():
        print(f"a span in Kafka, compression {name}: {size:.0f} bytes")
    told = exchange()
    print(
        f"a deposit to another process: {told.fixed_bytes:.0f} bytes and {told.entry_bytes:.0f} for each"
        f" series in it; {told.fixed_seconds * 1e6:.0f} µs and {told.entry_seconds * 1e6:.1f} µs"
    )


if __name__ == "__main__":
    main()
