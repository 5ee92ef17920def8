"""`make bench-detection`: judge detectors on labelled series, and measure their speed."""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.detection import ablation, parts, speed
from benchmarks.detection.baselines import BASELINES, Scorer
from benchmarks.detection.candidates import DEFAULT, Candidate, named, scorer
from benchmarks.detection.series import DATA, ROOT, Series, numenta, operational

PARTS = ("ops", "nab", "calibration", "speed")


def _candidate(
    _context: click.Context, _parameter: click.Parameter, names: Sequence[str]
) -> list[Candidate]:
    try:
        return [named(name) for name in names]
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from problem


def _beside() -> Path | None:
    """A checkout of NAB beside the project."""
    checkout = ROOT.parent / "NAB"
    return checkout if (checkout / "run.py").exists() else None


def _ablate(labelled: Sequence[Series], series: Sequence[Series], tries: Sequence[str]) -> None:
    try:
        found = ablation.configurations(tries)
    except ValueError as problem:
        raise click.ClickException(str(problem)) from problem

    def changed(constants: ablation.Constants) -> Scorer:
        return scorer(ablation.kernel(constants))

    click.echo(ablation.ablate(found, changed, labelled, series))


@click.command()
@click.option(
    "--detector",
    "candidates",
    multiple=True,
    callback=_candidate,
    default=[DEFAULT, *BASELINES],
    help="default, a baseline, or river:NAME; may be repeated.  [the default and all baselines]",
)
@click.option(
    "--only", type=click.Choice(PARTS), multiple=True, default=PARTS, help="Parts to run."
)
@click.option(
    "--data", type=click.Path(path_type=Path), default=DATA, help="Folder of labelled series."
)
@click.option(
    "--nab",
    "home",
    envvar="NAB",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkout of github.com/numenta/NAB, to score with its own scorer (NAB_PYTHON is its Python).  "
    "[../NAB where it is there]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".benchmarks" / "nab",
    help="Where scores in NAB's format go.",
)
@click.option("--ablate", is_flag=True, help="Judge the default with each part left out instead.")
@click.option(
    "--try",
    "tries",
    multiple=True,
    help="With --ablate: another configuration, NAME=VALUE,... of the kernel's settings.",
)
def main(
    candidates: list[Candidate],
    only: tuple[str, ...],
    data: Path,
    home: Path | None,
    output: Path,
    tries: tuple[str, ...],
    *,
    ablate: bool,
) -> None:
    """Judge anomaly detectors on labelled series, one setting for all of them."""
    labelled, files = operational(data), numenta(data)
    if not labelled or not files:
        click.echo(
            f"no labelled series in {data} (ops/, nab/): what needs them is skipped", err=True
        )
        if ablate:
            raise click.ClickException("without them nothing can be ablated")
    if ablate:
        _ablate(labelled, files, tries)
        return
    if "ops" in only and labelled:
        parts.finds_incidents(candidates, labelled)
    if "nab" in only and files:
        parts.scores_nab(candidates, files, home or _beside(), output)
    if "calibration" in only:
        parts.keeps_budgets(candidates, labelled)
    if "speed" in only:
        click.echo()
        speed.main()


if __name__ == "__main__":
    main()
