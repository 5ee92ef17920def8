"""Recovery partitions on disk: which a directory holds, making some of them, taking over others'.

Bytewax fixes their number for good. Each process of a cluster has some in its own data directory; they hold
the state of any shards, so all of them together must be there at each start, in whichever processes.
"""

import contextlib
import fcntl
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bytewax.recovery import init_db_dir

from engine.sinks.book import read_book, read_ended, write_book
from engine.telemetry.log import log

_OTHER = re.compile(r"process-(\d+)")


class PartitionsError(Exception):
    """Recovery partitions can't be used; the message names the mend."""


def home(data_dir: Path, process: int) -> Path:
    """Where a process keeps what is its own: process 0 where a single one does.

    >>> home(Path("data"), 0), home(Path("data"), 2)
    (PosixPath('data'), PosixPath('data/process-2'))
    """
    return data_dir / f"process-{process}" if process else data_dir


def held(recovery: Path) -> tuple[tuple[int, ...], int]:
    """The numbers of the partitions in a directory, and how many there are of their store in all.

    Raises:
        PartitionsError: a file is no partition, or they are of different stores.
    """
    numbers, counts = [], set()
    for path in sorted(recovery.glob("*.sqlite3")):
        try:
            with contextlib.closing(sqlite3.connect(path)) as store:
                rows = store.execute("SELECT part_index, part_count FROM parts").fetchall()
        except sqlite3.Error as error:
            raise PartitionsError(
                f"{path} is no recovery partition ({error}); restore it from a copy, or move the whole data "
                "directory away to begin from nothing"
            ) from error
        numbers += [int(number) for number, _ in rows]
        counts |= {int(count) for _, count in rows}
    if len(counts) > 1:
        raise PartitionsError(
            f"{recovery} has partitions of different stores ({min(counts)} and {max(counts)} in all); "
            "move those of the other cluster away"
        )
    return tuple(sorted(numbers)), counts.pop() if counts else 0


def missing(recovery: Path) -> tuple[int, ...]:
    """Of a store in one directory, the numbers of what is not there."""
    numbers, count = held(recovery)
    return tuple(sorted(set(range(count)) - set(numbers)))


def make(recovery: Path, numbers: tuple[int, ...], count: int) -> None:
    """Make some partitions of a new store."""
    with tempfile.TemporaryDirectory(dir=recovery.parent) as directory:
        init_db_dir(Path(directory), count)  # type: ignore[no-untyped-call]  # it has no types
        for number in numbers:
            _part(Path(directory), number).replace(_part(recovery, number))


def adopt(data_dir: Path, processes: int) -> None:
    """Take over what processes had that there are no more, as far as it is in this data directory.

    Process 0 does so, or a process by itself: its own directory has theirs in it.

    Raises:
        PartitionsError: such a process still runs.
    """
    for number, directory in _others(data_dir):
        if number < processes:
            continue
        with _locked(directory, number):
            moved = _move_partitions(directory / "recovery", data_dir / "recovery")
            _join_books(directory, data_dir)
            _join_watched(directory, data_dir)
        shutil.rmtree(directory)
        log.info(
            "took over the state of a process that there is no more",
            process=number,
            partitions=moved,
        )


def _others(data_dir: Path) -> Iterator[tuple[int, Path]]:
    for path in sorted(data_dir.glob("process-*")):
        match = _OTHER.fullmatch(path.name)
        if match and path.is_dir():
            yield int(match[1]), path


@contextlib.contextmanager
def _locked(directory: Path, number: int) -> Iterator[None]:
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PartitionsError(
                f"process {number} still runs on {directory}, and is none of this cluster; stop it first"
            ) from error
        yield


def _move_partitions(source: Path, target: Path) -> list[int]:
    if not source.is_dir():
        return []
    numbers, _ = held(source)  # opening and closing it also brings each store's log into its file
    target.mkdir(parents=True, exist_ok=True)
    clash = sorted(set(numbers) & set(held(target)[0]))
    if clash:
        raise PartitionsError(
            f"recovery partition {clash[0]} is in {source} and in {target}; move the older one away"
        )
    for path in sorted(source.glob("*.sqlite3*")):
        path.replace(target / path.name)
    return list(numbers)


def _join_books(source: Path, target: Path) -> None:
    theirs, own = source / "alerts.json", target / "alerts.json"
    if theirs.exists():
        firing, ended = read_book(theirs), read_ended(theirs)
        write_book(own, [*read_book(own), *firing], [*read_ended(own), *ended])


def _join_watched(source: Path, target: Path) -> None:
    """Of each objective, as it counts in the target, the earlier of the two."""
    theirs, own = source / "watched.json", target / "watched.json"
    if not theirs.exists():
        return
    joined = json.loads(theirs.read_text())
    if own.exists():
        for objective, entry in json.loads(own.read_text()).items():
            other = joined.get(objective, entry)
            if other["generation"] != entry["generation"]:
                other = entry
            joined[objective] = min(entry, other, key=lambda each: int(each["since_ns"]))
    own.write_text(json.dumps(joined, indent=1))


def _part(directory: Path, number: int) -> Path:
    return directory / f"part-{number}.sqlite3"
