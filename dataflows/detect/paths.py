"""What is read, and where what comes of it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STANDARD = Path("-")
PICTURES = (".png", ".svg")


class BadPath(Exception):  # noqa: N818  reads as what it says
    """A path that can't be used: what, and the mend."""


@dataclass(frozen=True, slots=True)
class Job:
    """One series.

    Attributes:
        source: `STANDARD` for standard input.
        target: `STANDARD` for standard output; None for nowhere.
        picture: None for none.
    """

    source: Path
    target: Path | None
    picture: Path | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.source == STANDARD else str(self.source)

    @property
    def size(self) -> int:
        """Bytes to read; 0 where nobody knows."""
        return self.source.stat().st_size if self.source.is_file() else 0


def jobs(source: Path, target: Path | None, picture: Path | None) -> list[Job]:
    """A job for each series, in the order of their paths.

    Args:
        source: a file, a directory or `STANDARD`.
        target: a file, or a directory for one; None for standard output, of a directory for nothing.
        picture: likewise.

    Raises:
        BadPath: one of them can't be used.
    """
    found = list(_of_directory(source, target, picture)) if source.is_dir() else []
    if not source.is_dir():
        found.append(_of_file(source, target or STANDARD, picture))
    sources = {job.source.resolve() for job in found if job.source != STANDARD}
    for job in found:
        if job.target is not None and job.target != STANDARD and job.target.resolve() in sources:
            raise BadPath(f"{job.target}: would be written over while it is read; name another")
    return found


def _of_file(source: Path, target: Path, picture: Path | None) -> Job:
    if source != STANDARD and not source.exists():
        raise BadPath(f"{source}: no such file or directory; check the path")
    name = Path("series.csv" if source == STANDARD else source.name)
    if target.is_dir():
        target /= name
    if picture is not None and picture.is_dir():
        picture /= name.with_suffix(".png")
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise BadPath(f"{picture}: no picture that can be made; write {' or '.join(PICTURES)}")
    return Job(source, target, picture)


def _of_directory(source: Path, target: Path | None, picture: Path | None) -> Iterator[Job]:
    if target == STANDARD:
        raise BadPath(f"{source}: many files have no place on standard output; name a directory")
    for path in (target, picture):
        if path is not None and path.exists() and not path.is_dir():
            raise BadPath(f"{path}: a file, but {source} is a directory; name a directory")
    if picture is not None and picture.suffix.lower() in PICTURES:
        raise BadPath(f"{picture}: {source} is a directory; name a directory for its pictures")
    if target is not None and target.resolve().is_relative_to(source.resolve()):
        raise BadPath(f"{target}: inside {source}, so it would be read next time; name another")
    paths = sorted(p for p in source.rglob("*") if p.suffix.lower() == ".csv" and p.is_file())
    if not paths:
        raise BadPath(f"{source}: no *.csv in it or below; check the path")
    for path in paths:
        inside = path.relative_to(source)
        yield Job(
            path,
            None if target is None else target / inside,
            None if picture is None else picture / inside.with_suffix(".png"),
        )
