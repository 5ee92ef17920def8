"""The spool's database: one table of payloads, one row of state, written by one connection."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.log import log

DELETE_PAYLOADS = 512
# Not less than a group, so that deleting keeps up with storing.
DELETE_BYTES = 32 << 20
PAGE_BYTES = 32768
CHECKPOINT_BYTES = 64 << 20
CLOCK_WARNING_NS = 1_000_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payload (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received_ns INTEGER NOT NULL,
    signal INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    payloads INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0, 0, 0, 0);
"""


@dataclass(slots=True)
class State:
    """The one row of the table `state`: the newest id and stamp ever, and what is stored now."""

    last_id: int
    received_ns: int
    payloads: int
    bytes: int


class Committed(NamedTuple):
    """What a commit did.

    Attributes:
        ids: of the payloads stored.
        state: after it.
        deleted: nothing is left of what was to be deleted.
    """

    ids: range
    state: State
    deleted: bool


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may change threads."""
    return sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)


def read_state(connection: sqlite3.Connection) -> State:
    """The row of state."""
    row = connection.execute("SELECT last_id, received_ns, payloads, bytes FROM state").fetchone()
    return State(*row)


class Store:
    """The writing side.

    Args:
        path: the database; it is made where it is missing.
        now_ns: the wall clock.

    Raises:
        sqlite3.Error: it can't be opened.
        OSError: likewise.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self.path = path
        self.connection = _open(path)
        self._now_ns = now_ns
        self._clock_held = False

    def commit(self, group: Sequence[tuple[int, bytes]], delete_to: int) -> Committed:
        """Store (signal, body) payloads, delete a piece of the ids up to `delete_to`; all or nothing.

        Raises:
            sqlite3.Error: nothing was done.
        """
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            state = read_state(connection)
            deleted = bool(delete_to) and self._delete(state, delete_to)
            ids = range(state.last_id + 1, state.last_id + 1 + len(group))
            if group:
                self._insert(state, ids, group)
            connection.execute(
                "UPDATE state SET last_id = ?, received_ns = ?, payloads = ?, bytes = ?",
                (state.last_id, state.received_ns, state.payloads, state.bytes),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return Committed(ids, state, deleted)

    def tidy(self, free: int) -> int:
        """Move the log into the database, where the disk has room for that, and give its own back.

        Args:
            free: bytes of the disk.

        Returns:
            Bytes inside the database that can be used again.

        Raises:
            sqlite3.Error: it can't be done now.
        """
        wal = self.path.with_name(f"{self.path.name}-wal")
        if wal.stat().st_size < free:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        pages: int = self.connection.execute("PRAGMA freelist_count").fetchone()[0]
        size: int = self.connection.execute("PRAGMA page_size").fetchone()[0]
        return pages * size

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _insert(self, state: State, ids: range, group: Sequence[tuple[int, bytes]]) -> None:
        received_ns = self._stamp(state.received_ns)
        self.connection.executemany(
            "INSERT INTO payload VALUES (?, ?, ?, ?)",
            [(id_, received_ns, *item) for id_, item in zip(ids, group, strict=True)],
        )
        state.last_id = ids[-1]
        state.received_ns = received_ns
        state.payloads += len(group)
        state.bytes += sum(len(body) for _, body in group)

    def _delete(self, state: State, target: int) -> bool:
        rows = self.connection.execute(
            "SELECT id, length(body) FROM payload WHERE id <= ? ORDER BY id LIMIT ?",
            (target, DELETE_PAYLOADS),
        ).fetchall()
        last = size = count = 0
        for id_, length in rows:
            if count and size + length > DELETE_BYTES:
                break
            last, size, count = id_, size + length, count + 1
        self.connection.execute("DELETE FROM payload WHERE id <= ?", (last,))
        state.payloads -= count
        state.bytes -= size
        return count == len(rows) and count < DELETE_PAYLOADS

    def _stamp(self, last_ns: int) -> int:
        now = self._now_ns()
        held = last_ns - now > CLOCK_WARNING_NS
        if held and not self._clock_held:
            log.warning(
                "the clock was set back; payloads get the last time of receipt until it is reached",
                behind_seconds=(last_ns - now) / 1e9,
            )
        self._clock_held = held
        return max(now, last_ns)


def _open(path: Path) -> sqlite3.Connection:
    fresh = not path.exists()
    connection = connect(path)
    try:
        if fresh:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Some builds overwrite what is deleted, and so write as much again as was stored.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_BYTES // PAGE_BYTES}")
        connection.execute(f"PRAGMA journal_size_limit = {2 * CHECKPOINT_BYTES}")
        connection.executescript(_SCHEMA)
        if fresh:  # the file's name must survive a power cut, too
            _sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
