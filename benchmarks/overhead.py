"""What a call costs more under a library that observes it: `make bench-overhead`.

OpenAI's client makes the same calls with and without each library, in processes that are alike: one venv a
library, a process with it and one without beside each other, told in turns to make some calls. A round
is the difference of their medians. Spans and metrics go by each library's own exporters to a server that
accepts them.

Twice: against a mock provider on this machine, as an application does; and with the answers ready in the
process, where there is less noise. Three clocks: CPU of the calling thread, which is what the call pays; CPU
of the whole process, exporting included; and the wall's, which tells something on an idle machine alone. On
a busy machine even the first is slow by turns: so the least that any call took is compared, too.
"""

import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from typing import Any, NamedTuple

from tests.libraries.capture import environment
from tests.libraries.provider import Provider
from tests.libraries.sink import Sink
from tests.libraries.venvs import ROOT, build, python

PEERS = ("burnline", "genai", "openinference", "openllmetry", "openlit")
# How many calls a round makes of each.
CASES = {
    "process plain": 40,
    "process quick_stream": 8,
    "server plain": 40,
    "server quick_stream": 8,
}
TITLES = {
    "process plain": "a call, answered in the process",
    "process quick_stream": "a stream of 23 chunks, answered in the process",
    "server plain": "a call to a server",
    "server quick_stream": "a stream of 23 chunks from a server",
}
ROUNDS = 20
WARM_UP = 20


class Worker:
    """A process that makes calls when told."""

    def __init__(self, venv: str, name: str, provider: str, sink: str) -> None:
        self.process = subprocess.Popen(
            [python(venv), "-m", "benchmarks._overhead_worker", name, provider],
            cwd=ROOT,
            env=environment(venv, sink),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args!r} ended; what it said is above")
        return json.loads(line)

    def run(self, case: str, calls: int) -> dict[str, float]:
        """Nanoseconds a call."""
        self.process.stdin.write(f"{case} {calls}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Have it send what is left, and end."""
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Sample(NamedTuple):
    """A round: µs a call more under a library than without."""

    wall: float
    thread: float
    process: float
    without: float  # µs of the calling thread's CPU a call without the library
    least: float  # of any call under the library
    least_without: float


def compare(without: Worker, under: Worker, case: str, *, swap: bool) -> Sample:
    """One round of one library."""
    order = (under, without) if swap else (without, under)
    took = {worker: worker.run(case, CASES[case]) for worker in order}
    wall, thread, process = (
        (took[under][key] - took[without][key]) / 1e3 for key in ("wall", "thread", "process")
    )
    return Sample(
        wall,
        thread,
        process,
        without=took[without]["thread"] / 1e3,
        least=took[under]["least"] / 1e3,
        least_without=took[without]["least"] / 1e3,
    )


def least(samples: list[Sample]) -> float:
    """µs of CPU that the least disturbed call took more under a library than without."""
    return min(s.least for s in samples) - min(s.least_without for s in samples)


def measure(
    peers: tuple[str, ...] = PEERS, rounds: int = ROUNDS
) -> dict[str, dict[str, list[Sample]]]:
    """Case -> library -> its rounds."""
    for peer in peers:
        build(peer)
    provider, sink = Provider(), Sink(keep=False)
    found: dict[str, dict[str, list[Sample]]] = {
        case: {peer: [] for peer in peers} for case in CASES
    }
    with ExitStack() as stack:
        stack.callback(provider.close)
        stack.callback(sink.close)
        pairs = {}
        for peer in peers:
            pairs[peer] = [Worker(peer, name, provider.url, sink.url) for name in ("none", peer)]
            for worker in pairs[peer]:
                stack.callback(worker.close)
                for case in CASES:
                    worker.run(case, WARM_UP)
        for number in range(rounds):
            for case in CASES:
                for peer, pair in pairs.items():
                    found[case][peer].append(compare(*pair, case, swap=bool(number % 2)))
    return found


def main() -> None:
    """`python -m benchmarks.overhead [ROUNDS]`."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"µs a call more than without: medians of {rounds} rounds (quartiles)")
    found = measure(rounds=rounds)
    for case, by_peer in found.items():
        print(f"\n{TITLES[case]}")
        ours = statistics.median(sample.thread for sample in by_peer[PEERS[0]])
        for peer, samples in by_peer.items():
            thread, wall, process = (
                statistics.quantiles(values, n=4)
                for values in list(
                    zip(*((s.thread, s.wall, s.process) for s in samples), strict=True)
                )
            )
            print(
                f"  {peer:14} CPU of the call {_spread(thread)}, {thread[1] / ours:4.1f} x Burnline's;"
                f"  the least {least(samples):5.0f};"
                f"  of the process {_spread(process)};  wall {_spread(wall)};"
                f"  without {statistics.median(s.without for s in samples):6.0f}"
            )


def _spread(quartiles: list[float]) -> str:
    low, middle, high = quartiles
    return f"{middle:6.0f} ({low:.0f} to {high:.0f})"


if __name__ == "__main__":
    main()
