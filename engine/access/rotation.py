"""Values made from files that are replaced while the engine runs: certificates, keys, tokens.

A file is looked at whenever its value is used, and read again when it has changed. What can't be used
does not replace what could: the last good value stays, the log says so once, and a metric shows it.
"""

import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from engine.telemetry.log import log

MOST_BYTES = 1 << 20
T = TypeVar("T")
_Stamp = tuple[int, ...] | None


class CredentialsError(Exception):
    """Credentials that can't be used; the message names the option, the problem and the mend."""


class Told(Protocol):
    """Hears each time that files were read: of what, and whether they could be used."""

    def __call__(self, what: str, *, good: bool) -> None:
        """Take note."""


class Reloaded(Generic[T]):
    """A value made from files, made anew when one of them changes; for every thread.

    Args:
        what: names it in the log and in metrics.
        paths: the files.
        make: reads them; raises `CredentialsError` where they can't be used.
        told: hears of each reading.

    Raises:
        CredentialsError: the files can't be used now, at the start.
    """

    def __init__(self, what: str, paths: Sequence[Path], make: Callable[[], T], told: Told) -> None:
        self.what = what
        self._paths = tuple(paths)
        self._make = make
        self._told = told
        self._lock = threading.Lock()
        self._complaint = ""
        # Looked at before it is read: a change in between is found at the next use.
        self._seen = self._look()
        self._value = make()
        told(what, good=True)

    def get(self) -> T:
        """The newest value that could be made."""
        if self._look() != self._seen:
            with self._lock:
                self._renew()
        return self._value

    def _look(self) -> tuple[_Stamp, ...]:
        return tuple(map(_stamp, self._paths))

    def _renew(self) -> None:
        looked = self._look()
        if looked == self._seen:  # another thread was quicker
            return
        self._seen = looked
        try:
            value = self._make()
        except CredentialsError as error:
            self._told(self.what, good=False)
            if str(error) != self._complaint:
                log.error("the last good credentials stay in use", what=self.what, error=str(error))
            self._complaint = str(error)
            return
        self._told(self.what, good=True)
        if value != self._value or self._complaint:
            log.info("credentials were read anew", what=self.what)
        self._value, self._complaint = value, ""


def _stamp(path: Path) -> _Stamp:
    """What changes with a file: through symbolic links, and with its permissions too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev, found.st_size)


def read_file(option: str, path: Path) -> bytes:
    """A small file's content.

    Raises:
        CredentialsError: it can't be read, is no regular file, or is too large.
    """
    try:
        found = path.stat()
        # Reading a pipe would wait, and give nothing the second time.
        if not stat.S_ISREG(found.st_mode):
            raise CredentialsError(f"{option} {path} is no regular file; name one")
        if found.st_size > MOST_BYTES:
            raise CredentialsError(
                f"{option} {path} has more than {MOST_BYTES} bytes; name another"
            )
        return path.read_bytes()
    except PermissionError as error:
        raise CredentialsError(
            f"{option} {path} can't be read ({error.strerror}); let the engine's user read it"
        ) from error
    except OSError as error:
        # Without the path: where there is no such file, it may be the secret itself.
        raise CredentialsError(
            f"{option}: {error.strerror}; give the path of a file that is there"
        ) from error
