"""Fuzzes everything that takes bytes or texts from outside: `make fuzz`.

    python -m tests.fuzz --count 1000000 --seed 1
    python -m tests.fuzz --target yaml --count 5000
    python -m tests.fuzz --replay .fuzz/yaml-0123456789ab

There are no price files yet, and no OpenAPI: so neither is fuzzed. Bad clients of the receivers have
tests of their own (tests/engine/receivers/test_hostile_clients.py).
"""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import Result, fuzz, has_atheris
from tests.fuzz.child import check_of
from tests.fuzz.targets import TARGETS, named


def main() -> int:
    """Fuzz, and print a table; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs in all")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so many")
    parser.add_argument("--target", action="append", choices=[t.name for t in TARGETS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--engine", choices=("auto", "own"), default="auto")
    parser.add_argument("--replay", type=Path, help="try one finding again")
    asked = parser.parse_args()
    if asked.replay:
        target = named(asked.replay.name.rpartition("-")[0])
        print(
            "accepted"
            if check_of(target)(asked.replay.read_bytes())
            else "refused, as it should be"
        )
        return 0
    chosen = [named(name) for name in asked.target] if asked.target else TARGETS
    guided = asked.engine == "auto" and has_atheris()
    if asked.engine == "auto" and not guided:
        print(
            "atheris is not installed (pip install -e '.[fuzz]'): all inputs are this project's own"
        )
    shares = sum(target.share for target in chosen)
    end = time.monotonic() + asked.seconds
    results = []
    for target in chosen:
        count = -(-asked.count * target.share // shares)
        result = fuzz(
            target, seed=asked.seed, start=asked.start, count=count, end=end, guided=guided
        )
        results.append(result)
        print(_row(result), flush=True)
    print(f"\nseed {asked.seed}\n{_HEAD}", *map(_row, results), _sum(results), sep="\n")
    for result in results:
        for path in result.findings:
            print(f"found: {path}")
    return 1 if any(result.findings for result in results) else 0


_HEAD = (
    f"{'target':<14}{'inputs':>10}{'accepted':>10}{'refused':>10}{'seconds':>9}{'peak MiB':>10}"
    f"{'findings':>10}  engine"
)


def _row(result: Result) -> str:
    refused = result.tried - result.accepted - len(result.findings)
    return (
        f"{result.target.name:<14}{result.tried:>10,}{result.accepted:>10,}{refused:>10,}"
        f"{result.seconds:>9.0f}{result.peak >> 20:>10}{len(result.findings):>10}  {result.engine}"
    )


def _sum(results: list[Result]) -> str:
    tried = sum(result.tried for result in results)
    accepted = sum(result.accepted for result in results)
    findings = sum(len(result.findings) for result in results)
    seconds = sum(result.seconds for result in results)
    peak = max((result.peak for result in results), default=0) >> 20
    return (
        f"{'all':<14}{tried:>10,}{accepted:>10,}{tried - accepted - findings:>10,}"
        f"{seconds:>9.0f}{peak:>10}{findings:>10}"
    )


if __name__ == "__main__":
    sys.exit(main())
