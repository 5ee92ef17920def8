"""The durable log between receivers and flow: a payload that is acknowledged is on disk.

SQLite in WAL mode with `synchronous=FULL`: a commit is written, synced, and only then visible to
readers. One thread writes; whatever waits for it goes into one transaction, so that one sync
serves many payloads. A crash of the process or machine loses nothing that was acknowledged. Where
a disk loses bytes that it had promised to keep, what is left is kept, and what is missing is known
and reported (`engine.spool._spool_repair`).

Receipt times are the engine's time (`engine.spool.clock`), which never goes back, also after a restart.
"""

import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from engine.spool._spool_repair import AckMark, missing_after, open_store
from engine.spool._spool_store import State, Store, connect, read_identity, read_state
from engine.spool.clock import Clock
from engine.telemetry.log import log

Signal = Literal["traces", "metrics"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics")

GROUP_BYTES = 32 << 20
GROUP_PAYLOADS = 4096
RETRY_SECONDS = 1.0


class SpoolError(Exception):
    """An append that was not stored; the next one may be."""


class SpoolFull(SpoolError):  # noqa: N818 - reads as what it says: the spool is full
    """There is no room now: the spool's limit or the disk."""


class SpoolUnavailable(SpoolError):  # noqa: N818 - reads as what it says
    """The spool can't be written now: read-only, an I/O error, closed."""


class Stored(NamedTuple):
    """A payload in the spool.

    Attributes:
        id: ascending in the order of acknowledgement, never used twice.
        received_ns: Unix nanoseconds, the same for all of a commit, never descending.
        signal: what it is.
        body: the payload.
        ahead_ns: see `engine.spool.clock.Moment`; as of the receipt.
        doubt_ns: likewise.
    """

    id: int
    received_ns: int
    signal: Signal
    body: bytes
    ahead_ns: int = 0
    doubt_ns: int = 0


class Depth(NamedTuple):
    """What the spool holds."""

    payloads: int
    bytes: int


@dataclass(slots=True)
class _Append:
    signal: int
    body: bytes
    stored: "Future[int]"


class Spool:
    """A spool at a path.

    Args:
        path: the database; `-wal` and `-shm` lie beside it. Its directory is made.
        max_bytes: payload bytes kept; beyond it appends raise `SpoolFull`. The file grows to
            about this and is not made smaller, as the room is used again.
        max_waiting: bytes of appends that may wait for the disk in memory.
        min_free: bytes of the disk that are left alone: deleting, and moving the log (about 100 MB
            at most) into the database, need room, too; a really full disk could not recover by itself.
        clock: gives payloads their time of receipt; it will tell no earlier one than the spool holds.
        disk_free: free bytes of the disk that holds a directory.

    Attributes:
        identity: tells it from any other spool, also one made anew in its place.
        clock: the engine's time.
        torn_bytes: of the log's end when it was opened; see `engine.spool._spool_repair.Opened`.
        on_commit: told the seconds and payloads of each commit, on the writer's thread.

    Raises:
        SpoolUnavailable: it can't be opened.
    """

    def __init__(
        self,
        path: Path | str,
        max_bytes: int = 8 << 30,
        max_waiting: int = 256 << 20,
        min_free: int = 128 << 20,
        clock: Clock | None = None,
        disk_free: Callable[[Path], int] = lambda directory: shutil.disk_usage(directory).free,
    ) -> None:
        self.path = Path(path)
        self.max_bytes = max_bytes
        self.max_waiting = max_waiting
        self.min_free = min_free
        self.clock = clock or Clock()
        self.on_commit: Callable[[float, int], None] = lambda _seconds, _payloads: None
        self._disk_free = disk_free
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._delete_to = 0
        self._skip_to = 0
        self._deleted: list[tuple[int, Future[None]]] = []
        self._read_lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            opened = open_store(self.path, self.clock)
            self._store: Store | None = opened.store
            self._state = read_state(opened.store.connection)
            self.identity = read_identity(opened.store.connection)
            self._reader = connect(self.path)
        except (sqlite3.Error, OSError) as error:
            raise SpoolUnavailable(
                f"the spool {self.path} can't be opened: {error}; check that its directory is "
                "writable and the file is a spool, or name another place"
            ) from error
        self.torn_bytes = opened.torn_bytes
        self._missing = opened.missing
        self._mark = AckMark(self.path, self.identity)
        self.clock.not_before(self._state.received_ns)
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def append(self, signal: Signal, body: bytes) -> "Future[int]":
        """Store a payload; the future gives its id once it is on disk.

        The future raises `SpoolFull` or `SpoolUnavailable` for this payload alone.
        `asyncio.wrap_future` makes it awaitable.
        """
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()  # what is on its way to the disk can't be called back
        with self._lock:
            if self._closed:
                future.set_exception(SpoolUnavailable(f"the spool {self.path} is closed"))
            elif self._state.bytes + self._waiting + len(body) > self.max_bytes:
                future.set_exception(
                    SpoolFull(f"the spool {self.path} holds its limit of {self.max_bytes} bytes")
                )
            elif self._waiting and self._waiting + len(body) > self.max_waiting:
                future.set_exception(
                    SpoolFull(f"{self._waiting} bytes wait for the disk of the spool {self.path}")
                )
            else:
                self._waiting += len(body)
                self._queue.put(_Append(SIGNALS.index(signal), body, future))
        return future

    def read(self, after_id: int, max_payloads: int, max_bytes: int) -> list[Stored]:
        """Payloads after an id, in order; at least one where there is one.

        Raises:
            SpoolUnavailable: the database can't be read.
        """
        found: list[Stored] = []
        size = 0
        try:
            with (
                self._read_lock,
                closing(self._select(after_id, max_payloads)) as rows,
            ):
                for id_, received_ns, signal, body, ahead_ns, doubt_ns in rows:
                    size += len(body)
                    if found and size > max_bytes:
                        break
                    stored = Stored(id_, received_ns, SIGNALS[signal], body, ahead_ns, doubt_ns)
                    found.append(stored)
        except sqlite3.Error as error:
            raise SpoolUnavailable(f"the spool {self.path} can't be read: {error}") from error
        return found

    def delete_through(self, last: int) -> "Future[None]":
        """Free every payload up to an id; done by the writer, a bounded piece with each commit.

        The future is done once all are gone; there is no need to wait for it.
        """
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(SpoolUnavailable(f"the spool {self.path} is closed"))
                return future
            if last <= 0:  # there are no such ids
                future.set_result(None)
                return future
            self._delete_to = max(self._delete_to, last)
            self._deleted.append((last, future))
        self._queue.put(None)
        return future

    def depth(self) -> Depth:
        """What is stored now."""
        state = self._current()
        return Depth(state.payloads, state.bytes)

    def last_id(self) -> int:
        """The id of the newest payload ever acknowledged, 0 before the first."""
        return self._current().last_id

    def skip_to(self, id_: int) -> None:
        """Give no id up to this one any more: it had been given before, and counted."""
        self._skip_to = id_

    def missing_after(self, id_: int) -> int:
        """How many payloads after an id were found missing when the spool was opened."""
        return missing_after(self._missing, id_)

    def forget_missing(self) -> None:
        """They are told: a flow that is built anew must not count them again."""
        self._missing = ()

    def close(self) -> None:
        """Store what waits, then close; later appends raise `SpoolUnavailable`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()
        with self._read_lock:
            self._reader.close()

    def _select(self, after_id: int, limit: int) -> sqlite3.Cursor:
        return self._reader.execute(
            "SELECT id, received_ns, signal, body, ahead_ns, doubt_ns FROM payload"
            " WHERE id > ? ORDER BY id LIMIT ?",
            (after_id, limit),
        )

    def _current(self) -> State:
        # Another process may write the same spool, so the row counts, not what this one remembers.
        with self._read_lock:
            return self._state if self._closed else read_state(self._reader)

    def _run(self) -> None:
        while True:
            group = self._next_group()
            self._settle(group)
            if self._closed and self._queue.empty():
                break
        if self._store is not None:
            self._store.close()
        with self._lock:
            left, self._deleted = self._deleted, []
        for _, future in left:
            future.set_exception(SpoolUnavailable(f"the spool {self.path} is closed"))

    def _next_group(self) -> list[_Append]:
        """All that waits, up to a group's limits; waits for the first, or until deleting is due."""
        group: list[_Append] = []
        size = 0
        try:
            item = self._queue.get(timeout=RETRY_SECONDS if self._delete_to else None)
            while True:
                if item is not None:
                    group.append(item)
                    size += len(item.body)
                if size >= GROUP_BYTES or len(group) >= GROUP_PAYLOADS:
                    return group
                item = self._queue.get_nowait()
        except queue.Empty:
            return group

    def _settle(self, group: list[_Append]) -> None:
        """Store a group and tell those who wait."""
        if not group and not self._delete_to:
            return
        try:
            self._check_room(group)
        except (SpoolFull, OSError, sqlite3.Error) as error:
            self._refuse(group, error)
            group = []  # but what may be deleted is
        began = time.perf_counter()
        try:
            ids = self._commit(group)
        except Exception as error:  # noqa: BLE001 - told to those who wait; the thread must go on
            self._recover(error)
            self._refuse(group, error)
            return
        if ids:
            self._mark.note(ids[-1])
        for item, id_ in zip(group, ids, strict=True):
            item.stored.set_result(id_)
        self.on_commit(time.perf_counter() - began, len(group))
        self._report_deleted()

    def _check_room(self, group: list[_Append]) -> None:
        free = self._disk_free(self.path.parent) if group else self.min_free
        if free < self.min_free and self._store is not None:
            # What was deleted is room, too, inside the database.
            reusable = self._store.tidy(free)
            free = self._disk_free(self.path.parent) + reusable
        if free < self.min_free:
            raise SpoolFull(
                f"the disk of the spool {self.path} has {free} bytes left; free some, "
                "or put the spool elsewhere"
            )

    def _refuse(self, group: list[_Append], error: Exception) -> None:
        with self._lock:
            self._waiting -= sum(len(item.body) for item in group)
        problem = error if isinstance(error, SpoolError) else _problem(self.path, error)
        for item in group:
            item.stored.set_exception(problem)

    def _commit(self, group: list[_Append]) -> range:
        if self._store is None:
            self._store = Store(self.path, self.clock)
        target = self._delete_to
        if self._skip_to:
            self._store.skip_to(self._skip_to)
            self._skip_to = 0
        done = self._store.commit([(item.signal, item.body) for item in group], target)
        with self._lock:
            self._state = done.state
            self._waiting -= sum(len(item.body) for item in group)
            if done.deleted and self._delete_to == target:
                self._delete_to = 0
        return done.ids

    def _report_deleted(self) -> None:
        with self._lock:
            if self._delete_to:
                self._queue.put(None)  # there is more to delete
                return
            done, self._deleted = self._deleted, []
        for _, future in done:
            future.set_result(None)

    def _recover(self, error: Exception) -> None:
        """Make the next try a fresh one; what was to be deleted still is."""
        log.error("the spool could not be written", path=str(self.path), error=str(error))
        store, self._store = self._store, None
        if store is not None:
            store.close()


def _problem(path: Path, error: Exception) -> SpoolError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return SpoolFull(f"the disk of the spool {path} is full")
    return SpoolUnavailable(f"the spool {path} can't be written: {error}")
