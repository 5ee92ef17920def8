"""What `burnline detect` says on standard error: how far it is, and what came of it."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from dataflows.detect.judge import Tally
from dataflows.detect.processes import Tell
from dataflows.detect.run import Outcome

_LINE_SECONDS = 10.0
_FRAME_SECONDS = 0.1


@contextmanager
def progress(total: int, files: int, *, shown: bool) -> Iterator[Tell]:
    """A function to tell of bytes read and files done: a bar for people, a line at times for a log.

    Args:
        total: bytes to read.
        files: number of them.
        shown: whether anything is.
    """
    if not shown:
        yield lambda _bytes, _files: None
    elif sys.stderr.isatty():
        columns = (
            TextColumn("{task.fields[done]} of {task.fields[files]} files"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        # Drawn by this thread alone: none may hold a lock while processes are forked.
        with Progress(
            *columns, console=Console(stderr=True), transient=True, auto_refresh=False
        ) as bar:
            task = bar.add_task("", total=total, done=0, files=files)
            draw = _at_times(_FRAME_SECONDS, bar.refresh)

            def move(count: int, done: int) -> None:
                bar.update(task, completed=count, done=done)
                draw()

            yield move
    elif files == 1:
        yield lambda _bytes, _files: None
    else:
        told = 0, 0

        def say() -> None:
            click.echo(
                f"{told[1]} of {files} files done, {100 * told[0] // max(total, 1)} % read",
                err=True,
            )

        say_at_times = _at_times(_LINE_SECONDS, say)

        def tell(count: int, done: int) -> None:
            nonlocal told
            told = count, done
            say_at_times()

        yield tell


def _at_times(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    """Calls `act` when called, but for those that come too soon after the last or the start."""
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            act()

    return maybe


def summary(outcomes: Sequence[Outcome], seconds: float, directory: Path | None) -> None:
    """Print what came of each series, and what was peculiar about it.

    Args:
        outcomes: in the order in which they are shown.
        seconds: that it took.
        directory: that they are of: a table; None for a line each.
    """
    for line in _table(outcomes, directory) if directory else ():
        click.echo(line, err=True)
    for outcome in outcomes:
        name, tally = outcome.job.name, outcome.tally
        if not directory:
            first = f", the first at {tally.first_alert}" if tally.first_alert else ""
            rows, alerts = _count(tally.rows, "row"), _count(tally.alerts, "alert")
            click.echo(f"{name}: {rows}, {alerts}{first}", err=True)
        for note in () if outcome.problem else notes(tally):
            click.echo(f"{name}: note: {note}", err=True)
    if directory:
        rows = _count(sum(outcome.tally.rows for outcome in outcomes), "row")
        alerts = _count(sum(outcome.tally.alerts for outcome in outcomes), "alert")
        files = _count(len(outcomes), "file")
        click.echo(f"{files}, {rows}, {alerts} in {seconds:.1f} s", err=True)


def notes(tally: Tally) -> Iterator[str]:
    """What was peculiar about a series, and what was made of it."""
    if not tally.rows:
        yield "no rows below the header"
    elif tally.learning == tally.rows:
        yield "too short to be judged: the detector was still learning at its end"
    if tally.trouble:
        yield tally.trouble
    if tally.missing:
        yield f"{_count(tally.missing, 'row')} without a value, taken as missing readings"
    if tally.infinite:
        yield f"{_count(tally.infinite, 'row')} with an infinite value"
    if tally.repeated:
        yield (
            f"{_count(tally.repeated, 'row')} with the time of the row before, "
            "judged as further readings of that moment"
        )
        if tally.repeated > tally.rows / 10:
            yield "it may hold more than one series; split it"
    if tally.disordered:
        yield (
            f"{_count(tally.disordered, 'row')} older than a row before, "
            "judged in the order of the file; sort it by time"
        )


def _table(outcomes: Sequence[Outcome], directory: Path) -> Iterator[str]:
    """Lines of equal columns: file, rows, alerts, first alert."""
    cells = [("file", "rows", "alerts", "first alert")]
    for outcome in outcomes:
        tally = outcome.tally
        cells.append(
            (
                str(outcome.job.source.relative_to(directory)),
                f"{tally.rows:,}",
                f"{tally.alerts:,}",
                "not read to its end" if outcome.problem else tally.first_alert or "",
            )
        )
    file, rows, alerts = (max(len(row[column]) for row in cells) for column in range(3))
    for row in cells:
        yield f"{row[0]:<{file}}  {row[1]:>{rows}}  {row[2]:>{alerts}}  {row[3]}".rstrip()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
