"""One target in a process of its own: it may crash, hang or eat memory, and only itself.

Called by `tests.fuzz.campaign`. What is being tried stands in a shared file, so that it is known
whatever happens; the result is a line of JSON.
"""

import argparse
import importlib
import json
import mmap
import resource
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import mutate_bytes, mutate_text
from tests.fuzz.targets import Check, Target, named, randomness

SLOW_SECONDS = 2.0  # of the processor, for one input
MOST_GROWTH = 512 << 20  # of memory, once warm
WARM = 500
SEEDS_FOR = 5000  # inputs made from the same seeds
_HEAD = struct.Struct("<QQQQ")
NOTE_SIZE = 8 << 20


class Note:
    """The input that is being tried, where another process can read it.

    Args:
        path: a file of `NOTE_SIZE` bytes.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), NOTE_SIZE)

    def write(self, number: int, accepted: int, data: bytes) -> None:
        data = data[: NOTE_SIZE - _HEAD.size]
        self._memory[: _HEAD.size] = _HEAD.pack(number, accepted, len(data), 1)
        self._memory[_HEAD.size : _HEAD.size + len(data)] = data

    def read(self) -> tuple[int, int, bytes]:
        number, accepted, size, _ = _HEAD.unpack(self._memory[: _HEAD.size])
        return number, accepted, bytes(self._memory[_HEAD.size : _HEAD.size + size])

    def is_written(self) -> bool:
        """Whether anything has been tried yet."""
        return bool(_HEAD.unpack(self._memory[: _HEAD.size])[3])


class Finding(Exception):  # noqa: N818 - not an error of this program
    """An input that took too long, or too much memory."""


def inputs(target: Target, seed: int, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The inputs of a target; each follows from the seed and its number."""
    make_seeds = getattr(_module(target), f"{target.name}_seeds")
    epoch, seeds, texts = -1, [], []
    for number in numbers:
        if number // SEEDS_FOR != epoch:
            epoch = number // SEEDS_FOR
            seeds = make_seeds(randomness(seed, f"{target.name}-seeds", epoch))
            texts = (
                [data.decode("utf-8", "replace") for data in seeds] if target.way == "text" else []
            )
        random_ = randomness(seed, target.name, number)
        if target.way == "text":
            yield (
                number,
                mutate_text(random_, random_.choice(texts), texts).encode("utf-8", "replace"),
            )
        else:
            yield number, mutate_bytes(random_, random_.choice(seeds), seeds)


def check_of(target: Target) -> Check:
    check: Check = getattr(_module(target), f"{target.name}_check")
    return check


def _module(target: Target) -> Any:
    return importlib.import_module(f"tests.fuzz.{target.module}")


class Watch:
    """Runs a check within its bounds of time and memory, and counts."""

    def __init__(self, check: Check, note: Note, *, start: int = 0) -> None:
        self.check = check
        self.note = note
        self.tried = 0
        self.accepted = 0
        self.start = start
        self._warm_peak = 0

    def __call__(self, data: bytes) -> None:
        self.note.write(self.start + self.tried, self.accepted, data)
        before = time.process_time()
        self.accepted += self.check(data)
        self.tried += 1
        took = time.process_time() - before
        if self.tried <= WARM:
            self._warm_peak = peak_bytes()
            return  # compiling and caching
        if took > SLOW_SECONDS:
            raise Finding(f"{took:.1f} s for one input")
        if peak_bytes() > self._warm_peak + MOST_GROWTH:
            raise Finding(f"memory grew from {self._warm_peak >> 20} to {peak_bytes() >> 20} MiB")


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def run_own(target: Target, watch: Watch, seed: int, start: int, count: int) -> None:
    """With this project's own mutator; ends at the first finding."""
    for _, data in inputs(target, seed, range(start, start + count)):
        watch(data)


def run_guided(target: Target, watch: Watch, seed: int, count: int, corpus: Path) -> None:
    """With libFuzzer, led by what the Python code covers; it does not return."""
    import atheris  # noqa: PLC0415 - not everywhere

    for number, data in inputs(target, seed, range(300)):
        (corpus / f"{number}").write_bytes(data)

    def once(data: bytes) -> None:
        try:
            watch(data)
        except BaseException as error:
            _report(watch, error)
            raise
        if watch.tried >= count:
            _report(watch, None)
            sys.stdout.flush()
            raise SystemExit(0)

    options = [
        f"-seed={seed % 2**31 or 1}",
        f"-runs={count + 1000}",
        "-max_len=4096",
        "-timeout=60",
    ]
    options += [
        "-rss_limit_mb=3000",
        "-verbosity=0",
        "-print_final_stats=0",
        f"-artifact_prefix={corpus}/",
    ]
    atheris.Setup(["fuzz", *options, str(corpus)], once)
    atheris.Fuzz()


def _report(watch: Watch, error: BaseException | None) -> None:
    result = {
        "tried": watch.tried,
        "accepted": watch.accepted,
        "peak": peak_bytes(),
        "error": None if error is None else "".join(traceback.format_exception(error)),
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("note", type=Path)
    for name in ("seed", "start", "count"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--corpus", type=Path, help="a directory: be guided by coverage")
    asked = parser.parse_args()
    target = named(asked.target)
    if asked.corpus:
        import atheris  # noqa: PLC0415 - not everywhere

        left_out = ["engine.columns._kernel", "engine.columns._grouping"]  # numba compiles these
        with atheris.instrument_imports(include=["engine", "slo"], exclude=left_out):
            check = check_of(target)
    else:
        check = check_of(target)
    # No input may make it take more memory than this, whatever it asks for.
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    if not asked.corpus:
        resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30),) * 2)
    watch = Watch(check, Note(asked.note), start=asked.start)
    try:
        if asked.corpus:
            run_guided(target, watch, asked.seed, asked.count, asked.corpus)
        else:
            run_own(target, watch, asked.seed, asked.start, asked.count)
    except BaseException as error:  # noqa: BLE001 - Rust's panics are no Exceptions
        _report(watch, error)
        return
    _report(watch, None)


if __name__ == "__main__":
    main()
