"""An engine, as a process of its own, that reads an input of several parts from files.

Stands in for Kafka: each file is a partition, whose position is in recovery. A line is `[clock, payload]`,
the payload in hexadecimal. Time stands still once all is read, so that runs can be compared exactly.
"""

import faulthandler
import json
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bytewax.inputs import FixedPartitionedSource, Source, StatefulSourcePartition

from dataflows import cli, live
from engine.spool.arrivals import Arrivals
from slo.origins import Origin

# Lines that are read at a time, and how often: slowly enough to be killed in the middle.
AT_A_TIME = 20


class Parts(FixedPartitionedSource[Arrivals, int]):
    """Files of a directory, a part each."""

    def __init__(self, directory: Path, pause: float, stopping: Callable[[], bool]) -> None:
        self.files = {path.stem: path for path in sorted(directory.glob("*.jsonl"))}
        self.pause = pause
        self.stopping = stopping

    def list_parts(self) -> list[str]:
        return list(self.files)

    def build_part(self, _step_id: str, for_part: str, resume_state: int | None) -> "Part":
        return Part(self, for_part, resume_state or 0)


class Part(StatefulSourcePartition[Arrivals, int]):
    """A file."""

    def __init__(self, parts: Parts, name: str, position: int) -> None:
        lines = [json.loads(line) for line in parts.files[name].read_text().splitlines()]
        self.lines = [(clock, bytes.fromhex(body)) for clock, body in lines]
        self.end = max(clock for clock, _ in self.lines)
        self.parts, self.name, self.position = parts, name, position
        self.origin = Origin(name, len(parts.files))
        self.ticked = 0.0

    def next_batch(self) -> list[Arrivals]:
        if self.parts.stopping():
            raise StopIteration
        read = self.lines[self.position : self.position + AT_A_TIME]
        self.position += len(read)
        if not read:  # once a second it says where time stands
            now = datetime.now(UTC).timestamp()
            if now - self.ticked < 1:
                return []
            self.ticked = now
            marks = (self.end, 0.0)
            return [Arrivals(self.end, tick=True, watermarks=marks, origin=self.origin)]
        return [
            Arrivals(
                clock,
                traces=(body,),
                live=False,
                tick=True,
                watermarks=(clock, 0.0),
                origin=self.origin,
            )
            for clock, body in read
        ]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.parts.pause)

    def snapshot(self) -> int:
        return self.position


class Engine(live.Engine):
    """An engine on such an input; the directory and the pause come first on the command line."""

    directory: Path
    pause: float

    def make_source(self) -> Source[Arrivals]:
        return Parts(self.directory, self.pause, self.supervisor.ending)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # what every thread does, for whoever looks into a hang
    Engine.directory, Engine.pause = Path(sys.argv[1]), float(sys.argv[2])
    live.Engine = Engine  # type: ignore[misc]  # what the command takes
    cli.main(sys.argv[3:])
