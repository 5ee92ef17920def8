"""What a call costs more under a library that observes it: `make bench-overhead`.

OpenAI's client makes the same calls with and without each library, in processes that are alike: one venv a
library, a process with it and one without beside each other, told in turns to make some calls. What is
reported is the median over many such rounds of the difference of their medians. Spans and metrics go
by each library's own exporters to a server that accepts them.

Twice: against a mock provider on this machine, as an application does; and with the answers ready in the
process, where there is less noise. CPU is that of the whole process, exporting included.
"""

import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

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


def measure(
    peers: tuple[str, ...] = PEERS, rounds: int = ROUNDS
) -> dict[str, dict[str, list[tuple[float, float, float]]]]:
    """Case -> library -> rounds of (µs a call more, the same of CPU, µs a call without)."""
    for peer in peers:
        build(peer)
    provider, sink = Provider(), Sink(keep=False)
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {
        case: {peer: [] for peer in peers} for case in CASES
    }
    with ExitStack() as stack:
        stack.callback(provider.close)
        stack.callback(sink.close)
        pairs = {}
        for peer in peers:
            pairs[peer] = tuple(
                Worker(peer, name, provider.url, sink.url) for name in ("none", peer)
            )
            for worker in pairs[peer]:
                stack.callback(worker.close)
                for case in CASES:
                    worker.run(case, WARM_UP)
        for number in range(rounds):
            for case, calls in CASES.items():
                for peer, (without, under) in pairs.items():
                    order = (without, under) if number % 2 else (under, without)
                    took = {worker: worker.run(case, calls) for worker in order}
                    found[case][peer].append(
                        (
                            (took[under]["wall"] - took[without]["wall"]) / 1e3,
                            (took[under]["cpu"] - took[without]["cpu"]) / 1e3,
                            took[without]["wall"] / 1e3,
                        )
                    )
    return found


def main() -> None:
    """`python -m benchmarks.overhead [ROUNDS]`."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"overhead of observing a call, µs: median of {rounds} rounds (quartiles)")
    found = measure(rounds=rounds)
    for case, by_peer in found.items():
        print(f"\n{TITLES[case]}")
        ours = statistics.median(wall for wall, _, _ in by_peer[PEERS[0]])
        for peer, samples in by_peer.items():
            walls = [wall for wall, _, _ in samples]
            low, middle, high = statistics.quantiles(walls, n=4)
            cpu = statistics.median(cpu for _, cpu, _ in samples)
            without = statistics.median(base for _, _, base in samples)
            print(
                f"  {peer:14} {middle:6.0f} ({low:.0f} to {high:.0f})  "
                f"{middle / ours:5.1f} x Burnline's;  CPU {cpu:6.0f};  without {without:6.0f}"
            )


if __name__ == "__main__":
    main()
