"""An input in parts, read by several workers, as that of Kafka is; every part is in memory.

Bytewax gives each part to one worker, of whatever process. No two workers read the same, and nothing is
shared out again before it is counted.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from engine.spool.arrivals import Arrivals
from slo.origins import Origin


class Marks:
    """When a process read first, and was told a decision last; seconds of a clock that processes share."""

    def __init__(self) -> None:
        self.first = float("inf")
        self.last = 0.0
        self.cpu = 0.0
        self.spans = 0

    def read(self, spans: int) -> None:
        """So many spans were read now."""
        if self.first == float("inf"):
            self.first, self.cpu = time.monotonic(), time.process_time()
        self.spans += spans

    def decided(self) -> None:
        """Something was decided now."""
        self.last = time.monotonic()


class Parts(FixedPartitionedSource[Arrivals, int]):
    """Reads every part to its end.

    Args:
        payloads: of each request of a part, the same in every part.
        per_arrival: requests that are read together.
        parts: how many there are, in all processes together.
        clock: of the first request, Unix seconds.
        spans: in a request.
        marks: told what is read.
    """

    def __init__(
        self,
        payloads: Sequence[bytes],
        per_arrival: int,
        parts: int,
        clock: float,
        spans: int,
        marks: Marks,
    ) -> None:
        self.payloads = payloads
        self.per_arrival = per_arrival
        self.parts = parts
        self.clock = clock
        self.spans = spans
        self.marks = marks

    def list_parts(self) -> list[str]:
        """All of them; each process can read any."""
        return [f"traces/{number}" for number in range(self.parts)]

    def build_part(self, _step: str, part: str, resume: int | None) -> "_Part":
        """One part, from its beginning or where it was left."""
        return _Part(self, part, resume or 0)

    def arrivals(self, part: str, begin: int) -> Iterator[Arrivals]:
        """What a part holds from a request on."""
        for at in range(begin, len(self.payloads), self.per_arrival):
            clock = self.clock + at * 1e-6
            yield Arrivals(
                clock=clock,
                traces=tuple(self.payloads[at : at + self.per_arrival]),
                tick=at == 0,
                watermarks=(clock, 0.0),
                origin=Origin(part, self.parts),
            )


class _Part(StatefulSourcePartition[Arrivals, int]):
    def __init__(self, source: Parts, part: str, begin: int) -> None:
        self.marks, self.spans = source.marks, source.spans
        self.arrivals = source.arrivals(part, begin)
        self.at = begin

    def next_batch(self) -> list[Arrivals]:
        arrivals = next(self.arrivals)
        self.at += len(arrivals.traces)
        self.marks.read(self.spans * len(arrivals.traces))
        return [arrivals]

    def snapshot(self) -> int:
        return self.at


class Newest(DynamicSink[Any]):
    """Keeps the last of what each key sent in this process."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.last: dict[str, Any] = {}

    def build(self, _step: str, _index: int, _count: int) -> "_NewestPart":
        """A part for a worker."""
        return _NewestPart(self)

    def take(self, items: list[tuple[str, Any]]) -> None:
        """What shards sent."""
        self.last |= dict(items)
        self.marks.decided()


class _NewestPart(StatelessSinkPartition[Any]):
    def __init__(self, sink: Newest) -> None:
        self.sink = sink

    def write_batch(self, items: list[Any]) -> None:
        self.sink.take(items)
