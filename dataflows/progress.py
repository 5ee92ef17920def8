"""The progress bar of a backtest, on standard error and only where somebody watches."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from detectors.default import warm_up as warm_up_detectors
from engine.columns.measure import is_cached, warm_up
from engine.recordings.files import Progress as Hook


@contextmanager
def kernels_ready() -> Iterator[None]:
    """Compile the kernels first, and say so: it takes some seconds, once on a machine."""
    if not is_cached():
        Console(stderr=True).print("compiling the kernels; this happens once on a machine")
    warm_up()
    warm_up_detectors()
    yield


@contextmanager
def reading() -> Iterator[Hook | None]:
    """A hook for `engine.recordings.files.read_files` that draws how far the files have been read."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("reading"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def hook(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield hook
