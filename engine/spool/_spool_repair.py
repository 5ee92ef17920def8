"""Opening a spool that may be damaged: what is whole is kept, what is missing is known.

SQLite ends a log at its last whole transaction, and says nothing of it. So the newest id that was
acknowledged is kept beside the database, in a file of its own: it survives a killed process (not
always a power cut, where it may be a moment old), and tells what the database should hold.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from engine.spool._spool_store import Store, connect, read_identity, read_state
from engine.spool.clock import Clock
from engine.telemetry.log import log

Row = tuple[int, int, int, bytes]

_WAL_HEADER, _FRAME_HEADER = 32, 24
# Frames of the log's earlier rounds stay behind the newest; each round's first salt is one higher.
_ROUNDS = 1 << 16
# No spool is longer; a header that says so is damaged itself.
_LONGEST = 1 << 44
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Opened(NamedTuple):
    """A spool's writing side, and what was found when it was opened.

    Attributes:
        store: the writing side.
        missing: ids that were acknowledged, or may have been, and are not there; ascending. What
            was deleted because it had been counted may be among them where a database was damaged.
        torn_bytes: bytes at the end of the log that no commit had finished: never acknowledged.
        set_aside: where a damaged database now lies, None where there was none.
    """

    store: Store
    missing: tuple[range, ...] = ()
    torn_bytes: int = 0
    set_aside: Path | None = None


class AckMark:
    """The newest acknowledged id, in a file of its own, overwritten in place.

    Args:
        path: of the spool's database.
        identity: of the spool; a mark of another counts for nothing.
    """

    _FORMAT = struct.Struct("<32sQ")

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path.with_name(f"{path.name}-acknowledged")
        self._identity = identity.encode()
        self._failed = False

    def read(self) -> int:
        """The id, 0 where none was noted."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        if len(data) != self._FORMAT.size:
            return 0
        identity, id_ = self._FORMAT.unpack(data)
        return int(id_) if identity == self._identity else 0

    def note(self, id_: int) -> None:
        """Overwrite it. A failure costs only the report of a later loss, and is told once."""
        try:
            with self.path.open("r+b" if self.path.exists() else "wb", buffering=0) as file:
                file.write(self._FORMAT.pack(self._identity, id_))
        except OSError as error:
            if not self._failed:
                log.warning(
                    "the spool's mark can't be written", path=str(self.path), error=str(error)
                )
            self._failed = True
        else:
            self._failed = False


def open_store(path: Path, clock: Clock) -> Opened:
    """Open a spool's database, or make it; a damaged one is set aside and read as far as it goes.

    Raises:
        sqlite3.Error: it can't be opened, and not because it is damaged.
        OSError: likewise.
    """
    torn = 0
    try:
        torn = _torn_bytes(path) if path.exists() else 0
        opened = Opened(_checked(Store(path, clock)), torn_bytes=torn)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            raise
        opened = _salvage(path, clock, error)
    if torn:
        log.warning(
            "the spool's log ended in a write that was cut off; it had not been acknowledged",
            path=str(path),
            bytes=torn,
        )
    return _compared(opened, path)


def missing_after(missing: Iterable[range], after: int) -> int:
    """How many of the missing ids are above one.

    >>> missing_after((range(3, 5), range(8, 11)), 8)
    2
    """
    return sum(len(range(max(ids.start, after + 1), ids.stop)) for ids in missing)


def _checked(store: Store) -> Store:
    try:
        (answer,) = store.connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        store.close()
        raise
    if answer != "ok":
        store.close()
        error = sqlite3.DatabaseError(str(answer))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    return store


def _compared(opened: Opened, path: Path) -> Opened:
    """With what is missing at the end, by the mark; such ids are not given again."""
    store = opened.store
    acknowledged = AckMark(path, read_identity(store.connection)).read()
    newest = read_state(store.connection).last_id
    if acknowledged <= newest:
        return opened
    store.skip_to(acknowledged)
    log.error(
        "the newest payloads of the spool are gone, although they were acknowledged: the disk lost or "
        "changed what it had promised to keep",
        path=str(path),
        payloads=acknowledged - newest,
    )
    return opened._replace(missing=(*opened.missing, range(newest + 1, acknowledged + 1)))


def _torn_bytes(path: Path) -> int:
    """Bytes of the log that belong to no finished commit, nor to an earlier round of the log."""
    wal = path.with_name(f"{path.name}-wal")
    with closing(connect(path)) as connection:
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not wal.exists() or wal.stat().st_size < _WAL_HEADER:
            return 0
        with wal.open("rb") as file:
            header = file.read(_WAL_HEADER)
            page, salt = struct.unpack_from(">I4xI", header, 8)
            file.seek(_WAL_HEADER + max(0, frames) * (_FRAME_HEADER + page))
            torn = 0
            while frame := file.read(_FRAME_HEADER + page):
                whole = len(frame) == _FRAME_HEADER + page
                round_ = struct.unpack_from(">I", frame, 8)[0] if whole else salt
                if not 0 < (salt - round_) % (1 << 32) < _ROUNDS:
                    torn += len(frame)
            return torn


def _salvage(path: Path, clock: Clock, error: sqlite3.DatabaseError) -> Opened:
    """A new database with what the damaged one still gives."""
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    log.error(
        "the spool is damaged; it is set aside, and what can still be read of it is kept",
        path=str(path),
        set_aside=str(aside),
        error=str(error),
    )
    _lengthen(aside)
    store = Store(path, clock)
    kept: dict[int, Row] = {}
    with closing(connect(aside)) as damaged:
        identity = next(_rows(damaged, "SELECT id FROM identity"), None)
        if identity is not None:
            store.adopt_identity(str(identity[0]))
        known = next(_rows(damaged, "SELECT last_id, received_ns FROM state"), (0, 0))
        for order in ("ASC", "DESC"):  # from both ends to where it is damaged
            query = f"SELECT id, received_ns, signal, body FROM payload ORDER BY id {order}"  # noqa: S608 - a constant
            for row in _rows(damaged, query):
                if row[0] in kept:
                    break
                kept[row[0]] = row
    rows = [kept[id_] for id_ in sorted(kept)]
    newest = max([int(known[0]), *kept])
    store.restore(rows, newest, int(known[1]))
    log.error(
        "the damaged spool was read as far as it goes", payloads_kept=len(rows), newest_id=newest
    )
    return Opened(store, tuple(_gaps(kept, newest)), set_aside=aside)


def _lengthen(path: Path) -> None:
    """Give a database that was cut its length back: SQLite reads nothing at all of a shorter one."""
    with path.open("r+b") as file:
        header = file.read(32)
        if len(header) == 32:
            page, pages = struct.unpack_from(">H10xI", header, 16)
            length = (page if page > 1 else 65_536) * pages  # 1 stands for 65,536
            if path.stat().st_size < length <= _LONGEST:
                file.truncate(length)


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[Row]:
    """Rows up to where the database is damaged."""
    try:
        yield from connection.execute(query)
    except sqlite3.Error as error:
        log.error("the damaged spool can't be read further", error=str(error))


def _gaps(ids: Iterable[int], newest: int) -> Iterator[range]:
    before = 0
    for id_ in [*sorted(ids), newest + 1]:
        if id_ > before + 1:
            yield range(before + 1, id_)
        before = id_
