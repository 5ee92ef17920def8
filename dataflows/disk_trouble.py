"""Tells failures of a flow that come from the disk, and pass with it, from those that are ours.

Bytewax reports what SQLite answered about its recovery store as text only; our own parts raise
`sqlite3.Error` and `OSError`, which Bytewax wraps.
"""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator

_CODE = re.compile(
    r"SqliteFailure\(Error \{ code: (?P<code>\w+), extended_code: (?P<number>\d+) \}"
)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_PASSING = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "it is read-only; make it writable",
    sqlite3.SQLITE_CANTOPEN: "its files can't be opened; make the directory writable",
    sqlite3.SQLITE_IOERR: "reading or writing it failed; look at the disk",
    sqlite3.SQLITE_BUSY: "another process holds it; end that one",
    sqlite3.SQLITE_LOCKED: "another process holds it; end that one",
}
_PASSING_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def disk_trouble(failure: BaseException) -> str:
    """What is the matter with the disk, and the mend; empty where a failure has another cause.

    >>> disk_trouble(OSError(28, "No space left on device"))
    'the data directory: No space left on device'
    """
    return next((found for error in _chain(failure) if (found := _of_disk(error))), "")


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while failure is not None and id(failure) not in seen:
        seen.add(id(failure))
        yield failure
        failure = failure.__cause__ or failure.__context__


def _of_disk(error: BaseException) -> str:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None) or 0
        return _said("the spool", code)
    if isinstance(error, OSError):
        return f"the data directory: {error.strerror}" if error.errno in _PASSING_ERRNO else ""
    if found := _CODE.search(str(error)):
        return _said("the recovery store", int(found["number"]))
    if found := _OS_ERROR.search(str(error)):
        number = int(found[1])
        return f"the recovery store: {os.strerror(number)}" if number in _PASSING_ERRNO else ""
    return ""


def _said(what: str, extended_code: int) -> str:
    # The low byte is the kind of error, the rest its variety.
    told = _PASSING.get(extended_code & 0xFF)
    return f"{what}: {told}" if told else ""
