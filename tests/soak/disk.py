"""A disk that is full, or read-only, for a while: senders are told to wait, and it goes on without help.

The disk is a small ext4 in a file, so this needs the right to mount (root), `mkfs.ext4` and `chattr`.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tests.end_to_end.engines import Engine
from tests.servers import eventually
from tests.soak.comparing import settled
from tests.soak.disk_state import bodies
from tests.soak.lanes import Sender
from tests.soak.slos import SLOS
from tests.soak.stream import Stream

MIB = 1 << 20
# The spool leaves 128 MiB alone.
DISK, STORE = 320 * MIB, 64 * MIB
Fault = Literal["full", "read-only"]
Where = Literal["data", "recovery"]


@dataclass
class Report:
    """What a run did and found; anything in `faults` is one.

    Attributes:
        where: the disk that fails: of all the data, or of the recovery store alone.
        requests: their outcomes.
        refused: as the engine's metric has it, by reason.
        recovered_after: seconds from the disk's mending until all that waited was acknowledged.
    """

    fault: Fault
    where: Where
    seconds: float
    requests: Counter[str] = field(default_factory=Counter)
    refused: dict[str, float] = field(default_factory=dict)
    recovered_after: float = 0.0
    events: int = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        requests = ", ".join(f"{name} {n}" for name, n in sorted(self.requests.items()))
        line = (
            f"{self.where} disk {self.fault} for {self.seconds:.0f} s: {requests}; refused by reason "
            f"{self.refused}; recovered after {self.recovered_after:.1f} s; {self.events} events; "
            f"{len(self.faults)} faults"
        )
        return "\n".join([line, *(f"  FAULT {fault}" for fault in self.faults)])

    def json(self) -> str:
        """For programs."""
        return json.dumps(asdict(self), indent=1)


def possible() -> bool:
    """Whether this user may mount a disk, and write-protect what is on it."""
    return os.geteuid() == 0 and all(map(shutil.which, ("mkfs.ext4", "chattr", "losetup")))


@contextmanager
def disk(at: Path, size: int) -> Iterator[Path]:
    """A small disk at a directory."""
    at.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".ext4") as image:
        image.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", image.name], check=True)
        subprocess.run(["mount", "-o", "loop", image.name, at], check=True)
        (at / "lost+found").rmdir()
        try:
            yield at
        finally:
            subprocess.run(["umount", at], check=True)


def run(directory: Path, fault: Fault, where: Where, seconds: float) -> Report:
    """Let the disk fail for so long while the stream is played."""
    report = Report(fault, where, seconds)
    engine = Engine(directory, SLOS, BURNLINE_SNAPSHOT_INTERVAL="1s")
    failing = engine.data if where == "data" else engine.data / "recovery"
    with disk(failing, DISK if where == "data" else STORE):
        engine.start()
        try:
            _play(engine, report, failing)
        finally:
            engine.stop(signal.SIGKILL)
    return report


def _play(engine: Engine, report: Report, failing: Path) -> None:
    process = engine.process
    sender = Sender(engine)
    stream = Stream(7, int(time.time()) + 1)

    def play() -> None:
        for payload in stream:
            time.sleep(max(0.0, payload.at - time.time()))
            sender.put(payload)

    player = threading.Thread(target=play, daemon=True)
    player.start()
    time.sleep(5)
    mend = _FAULTS[report.fault](failing)
    try:
        time.sleep(report.seconds)
        if process.poll() is None:
            report.refused = _refused(engine)
    finally:
        mend()
    mended = time.monotonic()
    if report.where == "data" and not report.refused:
        report.faults.append("nothing was refused")
    stream.finish(6.0)
    player.join()
    if process.poll() is not None:
        report.faults.append(
            f"the engine ended with {process.returncode}: {engine.log.read_text()[-3000:]}"
        )
        sender.pause()
        on_disk = bodies(engine.data)
        sender.resume(lambda payload: payload.body in on_disk)
        engine.start()
    eventually(lambda: sender.idle() or sender.doubtful, 60)
    report.recovered_after = time.monotonic() - mended
    wanted = stream.counts()
    found = settled(engine, wanted, 60)
    report.faults += [
        f"{key} is {found.get(key, 0)}, not {wanted.get(key, 0)}"
        for key in sorted({*found, *wanted})
        if found.get(key, 0) != wanted.get(key, 0)
    ]
    report.events = sum(wanted.values())
    report.requests.update(sender.counts)
    if sender.doubtful:
        report.faults.append("a request was not answered")


def _full(directory: Path) -> Callable[[], None]:
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError:
            pass
    return filler.unlink


def _read_only(directory: Path) -> Callable[[], None]:
    """Writes fail, also to files that are open: a remount would be refused while there are such.

    What is mapped into memory is left alone. A disk that turns read-only by an I/O error lets SQLite read
    on, too (tried with ext4's `abort`), where a write-protected file would kill it.
    """
    _protect(directory, "+i")
    return lambda: _protect(directory, "-i")


def _protect(directory: Path, flag: str) -> None:
    files = [path for path in directory.rglob("*") if not path.name.endswith("-shm")]
    subprocess.run(["chattr", flag, directory, *files], check=True)


_FAULTS: dict[Fault, Callable[[Path], Callable[[], object]]] = {
    "full": _full,
    "read-only": _read_only,
}


def _refused(engine: Engine) -> dict[str, float]:
    found: Counter[str] = Counter()
    for sample in engine.samples():
        if sample.name == "burnline_refused_payloads_total":
            found[sample.labels["reason"]] += sample.value
    return dict(found)
