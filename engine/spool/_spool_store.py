"""The spool's database: one table of payloads, one row of state, written by one connection."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from engine.spool.clock import Clock

DELETE_PAYLOADS = 512
# Not less than a group, so that deleting keeps up with storing.
DELETE_BYTES = 32 << 20
PAGE_BYTES = 32768
CHECKPOINT_BYTES = 64 << 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payload (
    id INTEGER PRIMARY KEY, received_ns INTEGER NOT NULL, signal INTEGER NOT NULL, body BLOB NOT NULL,
    ahead_ns INTEGER NOT NULL DEFAULT 0, doubt_ns INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    payloads INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0, 0, 0, 0);
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
"""
_CLOCK_COLUMNS = ("ahead_ns", "doubt_ns")


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
    """A connection that may change threads.

    With `psow=0` SQLite repeats the last frame of each commit up to the disk's next sector: a write
    that is torn in the sector where the next commit begins takes nothing acknowledged with it.
    """
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?psow=0",
        uri=True,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,
    )


def read_state(connection: sqlite3.Connection) -> State:
    """The row of state."""
    row = connection.execute("SELECT last_id, received_ns, payloads, bytes FROM state").fetchone()
    return State(*row)


def read_identity(connection: sqlite3.Connection) -> str:
    """What tells this spool from any other, also from one that is made anew in its place."""
    return str(connection.execute("SELECT id FROM identity").fetchone()[0])


class Store:
    """The writing side.

    Args:
        path: the database; it is made where it is missing.
        clock: gives payloads their time of receipt.

    Raises:
        sqlite3.Error: it can't be opened.
        OSError: likewise.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.connection = _open(path)
        self._clock = clock

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

    def skip_to(self, last_id: int) -> None:
        """Never give an id up to this one again.

        Raises:
            sqlite3.Error: nothing was done.
        """
        self.connection.execute(
            "UPDATE state SET last_id = ? WHERE last_id < ?", (last_id, last_id)
        )

    def adopt_identity(self, identity: str) -> None:
        """Be the spool that a damaged one was."""
        self.connection.execute("UPDATE identity SET id = ?", (identity,))

    def restore(
        self, rows: Sequence[tuple[int, int, int, bytes]], last_id: int, received_ns: int
    ) -> None:
        """Fill an empty spool with (id, received_ns, signal, body) of a damaged one.

        Raises:
            sqlite3.Error: nothing was done.
        """
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO payload (id, received_ns, signal, body) VALUES (?, ?, ?, ?)", rows
        )
        connection.execute(
            "UPDATE state SET last_id = ?, received_ns = ?, payloads = ?, bytes = ?",
            (
                last_id,
                max([received_ns, *(row[1] for row in rows)]),
                len(rows),
                sum(len(row[3]) for row in rows),
            ),
        )
        connection.execute("COMMIT")

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
        moment = self._clock.read()
        # Another process may have written the newest stamp.
        received_ns = max(moment.now_ns, state.received_ns)
        self.connection.executemany(
            "INSERT INTO payload (id, received_ns, signal, body, ahead_ns, doubt_ns)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (id_, received_ns, *item, moment.ahead_ns, moment.doubt_ns)
                for id_, item in zip(ids, group, strict=True)
            ],
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
        connection.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (uuid4().hex,))
        columns = {row[1] for row in connection.execute("PRAGMA table_info(payload)")}
        for column in _CLOCK_COLUMNS:  # a spool of an earlier version
            if column not in columns:
                connection.execute(
                    f"ALTER TABLE payload ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
                )
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
