"""`python -m tests.soak kill|overload|disk`; exits with 1 if anything was lost, doubled or otherwise."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from tests.servers import alertmanager
from tests.soak import disk as disks
from tests.soak import kill as killing
from tests.soak import overload as overloading


@click.group()
def main() -> None:
    """Burnline under faults."""


@main.command()
@click.option("--kills", default=200, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--longest", default=5.0, show_default=True, help="Seconds left alone.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Directory to leave the engines' in.")
def kill(kills: int, seed: int, longest: float, *, as_json: bool, keep: Path | None) -> None:
    """Kill an engine at random moments, and compare it with one that is left alone."""
    with ExitStack() as stack:
        directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(exist_ok=True, parents=True)
        real = stack.enter_context(alertmanager(directory))
        run = killing.Run(directory, kills, seed, longest=longest, alertmanagers=[real], note=_note)
        report = run.run()
    click.echo(report.json() if as_json else report.text())
    sys.exit(bool(report.faults))


@main.command()
@click.option("--seconds", default=600.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def overload(seconds: float, *, as_json: bool) -> None:
    """Send twice what the engine can take."""
    with tempfile.TemporaryDirectory() as directory:
        report = overloading.run(Path(directory), seconds, _note)
    click.echo(report.json() if as_json else report.text())
    sys.exit(bool(report.faults))


@main.command()
@click.option("--seconds", default=20.0, show_default=True, help="So long a fault lasts.")
def disk(seconds: float) -> None:
    """Let disks be full and read-only."""
    if not disks.possible():
        raise click.ClickException(
            "disks are mounted here: run it as root, with mkfs.ext4 and chattr"
        )
    faults = 0
    for where in ("data", "recovery"):
        for fault in ("full", "read-only"):
            with tempfile.TemporaryDirectory() as directory:
                report = disks.run(Path(directory), fault, where, seconds)
            click.echo(report.text())
            faults += len(report.faults)
    sys.exit(bool(faults))


def _note(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":  # senders are processes that import this again
    main()
