"""What is fuzzed: for each target inputs to begin with, and a check of one input.

A check returns whether the input was accepted. Whatever it raises is a finding: bad input is refused by
the error that the room documents, and by no other.
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Way = Literal["bytes", "text"]
Check = Callable[[bytes], bool]


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes:
        name: for the command line.
        what: for people.
        way: how inputs are changed.
        share: of a thousand inputs, how many it gets.
        module: where `seeds(random)` and `check(data)` are, with the target's name as a prefix.
        guided: its Python code can lead a coverage-guided fuzzer.
    """

    name: str
    what: str
    way: Way
    share: int
    module: str
    guided: bool = False


TARGETS = (
    Target("spans", "span kernel against the official parser", "bytes", 390, "spans"),
    Target("kernel", "the kernel with every access checked", "bytes", 2, "spans"),
    Target("metrics", "metric points, to increments", "bytes", 120, "metrics", guided=True),
    Target("traces_json", "OTLP/JSON traces against json_format", "text", 100, "otlp_json", guided=True),
    Target("metrics_json", "OTLP/JSON metrics", "text", 40, "otlp_json", guided=True),
    Target("gzip", "gzip bodies against the standard library", "bytes", 100, "compressed"),
    Target("recording", "recordings for backtests", "bytes", 60, "compressed", guided=True),
    Target("yaml", "SLO files", "text", 8, "slo_texts"),
    Target("traceql", "TraceQL filters, evaluated", "text", 50, "slo_texts"),
    Target("promql", "PromQL selectors, evaluated", "text", 50, "slo_texts"),
    Target("values", "durations, percentages, bounds", "text", 60, "slo_texts"),
    Target("whole", "payload to spool, counts, /metrics, alerts", "bytes", 20, "whole", guided=True),
)  # fmt: skip


def randomness(seed: int, target: str, number: int) -> random.Random:
    """The random numbers of one input."""
    return random.Random(f"{seed}/{target}/{number}")


def named(name: str) -> Target:
    """The target of a name."""
    for target in TARGETS:
        if target.name == name:
            return target
    raise ValueError(f"no target {name!r}; there are {', '.join(t.name for t in TARGETS)}")


def zipped(data: bytes, level: int = 1) -> bytes:
    """A gzip member without a time in it, so that it is the same each time."""
    packer = zlib.compressobj(level, wbits=31)
    return packer.compress(data) + packer.flush()
