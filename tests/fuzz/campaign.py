"""Runs targets in processes of their own, and keeps what they find."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.child import NOTE_SIZE, Note
from tests.fuzz.targets import Target

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / ".fuzz"
HANGS_AFTER = 60.0  # seconds without a further input, on a busy machine too
BEGINS_WITHIN = 120.0
MOST_FINDINGS = 10  # of a target; then something is wrong with all of it
PIECE = 50_000  # inputs of a process


@dataclass
class Result:
    """What came of a target.

    Attributes:
        target: which.
        engine: `own`, `atheris` or both.
        tried: inputs.
        accepted: of them.
        seconds: of wall time.
        peak: bytes of memory.
        findings: files.
    """

    target: Target
    engine: str = "own"
    tried: int = 0
    accepted: int = 0
    seconds: float = 0.0
    peak: int = 0
    findings: list[Path] = field(default_factory=list)


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def fuzz(target: Target, *, seed: int, start: int, count: int, end: float, guided: bool) -> Result:
    """Try a number of inputs, until a time (monotonic) at the latest.

    Args:
        target: what to try.
        seed: of everything.
        start: number of the first input.
        count: of inputs.
        end: when to stop.
        guided: half of the inputs come from atheris, where the target gains by it.
    """
    result = Result(target)
    began = time.monotonic()
    led = count // 2 if guided and target.guided else 0
    if led:
        result.engine = "own, atheris"
    for first, size in _pieces(start, count - led):
        done = first
        while (
            done < first + size and len(result.findings) < MOST_FINDINGS and time.monotonic() < end
        ):
            done += _child(result, seed, done, first + size - done, end)
    for number, (_, size) in enumerate(_pieces(0, led)):
        left = size
        while left > 0 and len(result.findings) < MOST_FINDINGS and time.monotonic() < end:
            with tempfile.TemporaryDirectory() as corpus:
                left -= _child(result, seed + number + left, 0, left, end, Path(corpus))
    result.seconds = time.monotonic() - began
    return result


def _pieces(start: int, count: int) -> Iterator[tuple[int, int]]:
    for first in range(start, start + count, PIECE):
        yield first, min(PIECE, start + count - first)


def _child(
    result: Result, seed: int, start: int, count: int, end: float, corpus: Path | None = None
) -> int:
    """Try inputs in one process; how many it got through, the one that ended it among them."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "note"
        path.write_bytes(bytes(NOTE_SIZE))
        note = Note(path)
        command = [sys.executable, "-m", "tests.fuzz.child", result.target.name, str(path)]
        command += [f"--seed={seed}", f"--start={start}", f"--count={count}"]
        command += [f"--corpus={corpus}"] if corpus else []
        output = Path(directory) / "out"
        with output.open("wb") as out, (Path(directory) / "err").open("wb") as err:
            environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, env=environment)
            hung, timed_out = _wait(process, note, end)
        number, accepted, data = note.read()
        told = [line for line in output.read_text().splitlines() if line.startswith('{"tried"')]
        errors = (Path(directory) / "err").read_text(errors="replace")[-5000:]
    if told:
        said = json.loads(told[0])
        result.tried += said["tried"] + bool(said["error"])
        result.accepted += said["accepted"]
        result.peak = max(result.peak, said["peak"])
        if said["error"]:
            _keep(result, seed, number, data, said["error"])
        return int(said["tried"]) + 1
    result.tried += number - start + 1
    result.accepted += accepted
    if not timed_out:
        why = "it hangs" if hung else f"the process ended with {process.returncode}"
        _keep(result, seed, number, data, f"{why}\n{errors}")
    return number - start + 1


def _wait(process: "subprocess.Popen[bytes]", note: Note, end: float) -> tuple[bool, bool]:
    """Whether it hung, and whether the time was over before it was done."""
    last, since = -1, time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        number = note.read()[0] if note.is_written() else -1
        if number != last:
            last, since = number, now
        hung = now - since > (HANGS_AFTER if note.is_written() else BEGINS_WITHIN)
        if hung or now > end:
            process.kill()
            process.wait()
            return hung, not hung
        time.sleep(0.1)
    return False, False


def _keep(result: Result, seed: int, number: int, data: bytes, why: str) -> None:
    FINDINGS.mkdir(exist_ok=True)
    name = f"{result.target.name}-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
    path = FINDINGS / name
    path.write_bytes(data)
    run = "python -m tests.fuzz"
    text = (
        f"input {number} of seed {seed}; try it again with",
        f"{run} --replay {path.relative_to(ROOT)}",
        "or, where what came before it matters, with",
        f"{run} --engine own --target {result.target.name} --seed {seed} --count {number + 1}",
        "",
        why,
    )
    path.with_name(f"{name}.txt").write_text("\n".join(text))
    if path not in result.findings:
        result.findings.append(path)
