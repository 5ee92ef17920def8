"""A dead engine's spool: what it holds, and damage that a cut write leaves at the end of its log."""

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

Damage = Callable[[Path, random.Random], bool]


def bodies(data: Path, newest: int = 1000) -> set[bytes]:
    """The newest payloads in the spool, read from a copy: opening it would mend it."""
    spool = data / "spool.db"
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / spool.name
        for suffix in ("", "-wal"):
            part = spool.with_name(spool.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(copy.name + suffix))
        if not copy.exists():
            return set()
        with closing(sqlite3.connect(copy)) as connection:
            rows = connection.execute(
                "SELECT body FROM payload ORDER BY id DESC LIMIT ?", (newest,)
            ).fetchall()
    return {row[0] for row in rows}


def noise(data: Path, rng: random.Random) -> bool:
    """Random bytes behind the log's end."""
    return _append(data, rng.randbytes(rng.randrange(1, 100_000)))


def zeros(data: Path, rng: random.Random) -> bool:
    """A file that was made longer before its bytes came."""
    return _append(data, bytes(rng.randrange(1, 100_000)))


def half_a_frame(data: Path, rng: random.Random) -> bool:
    """The beginning of the log's last frame once more."""
    wal = _wal(data)
    if not wal.exists() or wal.stat().st_size < 100_000:
        return False
    frame = wal.read_bytes()[-(24 + 32768) :]
    return _append(data, frame[: rng.randrange(1, len(frame))])


def no_index(data: Path, _rng: random.Random) -> bool:
    """The log's index in shared memory is gone."""
    shm = data / "spool.db-shm"
    gone = shm.exists()
    shm.unlink(missing_ok=True)
    return gone


DAMAGES: tuple[Damage, ...] = (noise, zeros, half_a_frame, no_index)


def _wal(data: Path) -> Path:
    return data / "spool.db-wal"


def _append(data: Path, tail: bytes) -> bool:
    wal = _wal(data)
    if not wal.exists() or not wal.stat().st_size:
        return False
    with wal.open("ab") as file:
        file.write(tail)
    return True
