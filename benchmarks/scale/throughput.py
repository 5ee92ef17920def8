"""Spans a second of one worker, of two as threads of a process, and of two as processes.

The whole flow, from payload bytes to decisions, through Bytewax; each worker reads parts of its own, and only
counts cross. Every run has processes of its own and is timed from the first read of any to the last decision
of any. The ways take turns, so that a busy machine is as busy for all of them; what their processors'
time says of machines that are not busy is printed, too.
"""

import json
import pickle
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.traffic import payload

SPANS = 1000
DISTINCT = 64
OBJECTIVES = 3
PARTS = 4


class Way(NamedTuple):
    """How many workers there are, and where."""

    name: str
    processes: int
    workers: int


WAYS = (
    Way("1 worker", 1, 1),
    Way("2 workers, threads", 1, 2),
    Way("2 workers, processes", 2, 1),
)


class Load(NamedTuple):
    """What they are given."""

    name: str
    per_arrival: int
    requests: int
    watched: bool


LOADS = (
    Load("SLOs, 96 requests at a time", 96, 960, watched=False),
    Load("SLOs, 8 requests at a time", 8, 320, watched=False),
    Load("with monitors and model calls, 96 at a time", 96, 576, watched=True),
)


class Outcome(NamedTuple):
    """Of one run.

    Attributes:
        rate: spans a second, of all workers together.
        cpu: µs of processor time a span.
    """

    rate: float
    cpu: float


def run(payloads: Path, way: Way, load: Load) -> Outcome:
    """One run, in processes of its own.

    Raises:
        SystemExit: a process failed, or counted something else than it was given.
    """
    ports = _free_ports(way.processes) if way.processes > 1 else []
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    command = [
        *(sys.executable, "-m", "benchmarks.scale.process", str(payloads)),
        *("--addresses", addresses, "--workers", str(way.workers), "--parts", str(PARTS)),
        *("--per-arrival", str(load.per_arrival), "--requests", str(load.requests)),
        *("--spans", str(SPANS)),
        *(["--watched"] if load.watched else []),
    ]
    started = [
        subprocess.Popen([*command, "--process", str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(way.processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"a process failed: {' '.join(command)}")
    found = [json.loads(output.splitlines()[-1]) for output in outputs]  # Bytewax prints, too
    spans = sum(one["spans"] for one in found)
    events = sum(one["events"] for one in found)
    if events != OBJECTIVES * spans or spans != PARTS * load.requests * SPANS:
        raise SystemExit(f"{way.name}: {events:,} events counted of {spans:,} spans")
    seconds = max(one["last"] for one in found) - min(one["first"] for one in found)
    return Outcome(spans / seconds, 1e6 * sum(one["cpu"] for one in found) / spans)


def write_payloads(path: Path) -> int:
    """Requests as a client sends them, and their clock; returns the bytes of one."""
    clock = float(int(time.time()) // 5 * 5 + 4)
    distinct = [payload(SPANS, int(clock * 1e9), seed, seconds=3.0) for seed in range(DISTINCT)]
    path.write_bytes(pickle.dumps((distinct, clock)))
    return sum(map(len, distinct)) // DISTINCT


def main(rounds: int = 5, loads: Sequence[Load] = LOADS) -> dict[tuple[str, str], list[Outcome]]:
    """Print medians over rounds in which the ways take turns."""
    found: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "payloads"
        size = write_payloads(path)
        print(f"requests of {SPANS:,} spans, {size / SPANS:.0f} bytes a span, 3 SLOs, 303 series")
        for _ in range(rounds):
            for load in loads:
                for way in WAYS:
                    found[load.name, way.name].append(run(path, way, load))
    for load in loads:
        base, least = (
            statistics.median(each) for each in zip(*found[load.name, WAYS[0].name], strict=True)
        )
        for way in WAYS:
            rates = [o.rate for o in found[load.name, way.name]]
            cpu = statistics.median(o.cpu for o in found[load.name, way.name])
            middle = statistics.median(rates)
            print(
                f"{load.name:44} {way.name:21} {middle:11,.0f} spans/s"
                f" (median of {rounds}; {min(rates):,.0f} to {max(rates):,.0f}),"
                f" {middle / base:4.2f} x, {cpu:5.2f} µs of CPU a span:"
                f" {way.processes * way.workers * least / cpu:4.2f} x with as many cores to itself"
            )
    return found


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


if __name__ == "__main__":
    main()
