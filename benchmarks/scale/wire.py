"""Bytes on the wires: of a span in Kafka, and of what workers tell each other; what pickling that takes."""

import pickle
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import zstandard

from benchmarks.scale.series import keys_of, plan_of
from benchmarks.traffic import payload
from slo.decision import SeriesKey
from slo.messages import Deposit
from slo.windows import Entries

SPANS = 1000
CLOCK = 1_800_000_000.0
ROUNDS = 200


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
    """Of deposits without series and with a thousand."""
    few, many = _deposit(()), _deposit(keys_of(plan_of(), 1000))
    sizes = [len(pickle.dumps(each)) for each in (few, many)]
    seconds = [_seconds(each) for each in (few, many)]
    return Exchange(
        sizes[0], (sizes[1] - sizes[0]) / 1000, seconds[0], (seconds[1] - seconds[0]) / 1000
    )


def _deposit(keys: tuple[SeriesKey, ...]) -> tuple[str, Deposit]:
    # Names as they come from the wire: each a string of its own.
    keys = tuple(k._replace(group=tuple(f"{part}" for part in k.group or ())) for k in keys)
    entries = Entries(
        np.arange(len(keys)), np.full(len(keys), int(CLOCK)), np.tile([0, 7], (len(keys), 1))
    )
    return "7", Deposit("7", CLOCK, keys=keys, entries=entries, watermarks=(CLOCK, 0.0))


def _seconds(deposit: tuple[str, Deposit]) -> float:
    began = time.thread_time()
    for _ in range(ROUNDS):
        pickle.loads(pickle.dumps(deposit))  # noqa: S301  just made
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
