"""`make bench-detection`: judge detectors on labelled series, and measure their speed."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

import detectors
from benchmarks.detection import ablation, judges, nab, nab_scorer, report, speed
from benchmarks.detection.baselines import BASELINES
from benchmarks.detection.calibration import (
    ASKED,
    Alerts,
    Calibration,
    calibrate,
    made_up,
    together,
)
from benchmarks.detection.candidates import DEFAULT, Candidate, named, scorer
from benchmarks.detection.incidents import BUDGET, STAYS_ON
from benchmarks.detection.series import DATA, Series, numenta, operational
from detectors.verdict import Floats

PARTS = ("ops", "nab", "calibration", "speed")


def _candidate(
    _context: click.Context, _parameter: click.Parameter, names: Sequence[str]
) -> list[Candidate]:
    try:
        return [named(name) for name in names]
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from problem


def _scored(candidate: Candidate, series: Sequence[Series]) -> list[Floats]:
    began = time.perf_counter()
    scores = [candidate.score(one) for one in series]
    points = sum(len(one.values) for one in series)
    click.echo(
        f"  {candidate.name}: {points:,} points in {time.perf_counter() - began:.1f} s", err=True
    )
    return scores


def _nab(
    candidates: Sequence[Candidate], series: Sequence[Series], home: Path | None, output: Path
) -> None:
    found: dict[str, judges.Numenta] = {}
    for candidate in candidates:
        scores = nab_scorer.in_unit(_scored(candidate, series))
        found[candidate.name] = judges.numenta(series, scores)
        muted = nab_scorer.thinned(scores, nab.sweep(series, scores, mute=nab.MUTE))
        nab_scorer.write(output, _plain(candidate.name), series, scores)
        nab_scorer.write(output, _muted(candidate.name), series, muted)
    click.echo(f"  scores in NAB's format: {output}", err=True)
    (output / "figures.json").write_text(
        json.dumps({name: judges.plain(one) for name, one in found.items()}, indent=1)
    )
    profiles = [profile.name for profile in nab.PROFILES]
    click.echo(f"\nNAB, {len(series)} files; {' / '.join(profiles)}.")
    click.echo(report.numenta(found))
    if home is not None:
        _compare(found, home, output, series)


def _compare(
    found: dict[str, judges.Numenta], home: Path, output: Path, series: Sequence[Series]
) -> None:
    """Let NAB's own scorer say what the sweep has said."""
    names = [name for one in found for name in (_plain(one), _muted(one))]
    own = nab_scorer.score(home, output, series, names)
    differences = [
        abs(own[_plain(name)][profile.name] - ours)
        for name, one in found.items()
        for profile, ours in zip(nab.PROFILES, one.every, strict=True)
    ]
    # What is muted is so by the threshold that is best in the standard profile.
    standard = nab.STANDARD.name
    differences += [abs(own[_muted(n)][standard] - one.muted[0]) for n, one in found.items()]
    click.echo(
        f"NAB's own scorer, in {home}: {len(differences)} of these scores, "
        f"all of every reading and the standard ones of one per {nab.MUTE}; "
        f"the greatest difference is {max(differences):.1e}."
    )
    if max(differences) > 1e-6:
        raise click.ClickException(f"NAB's own scorer says something else: {own}")


def _plain(name: str) -> str:
    return name.replace(":", "-").replace("_", "-")


def _muted(name: str) -> str:
    return f"{_plain(name)}-muted"


def _ops(candidates: Sequence[Candidate], series: Sequence[Series]) -> None:
    found = {c.name: judges.operational(series, _scored(c, series)) for c in candidates}
    days, total = sum(one.days for one in series), sum(len(one.windows) for one in series)
    click.echo(
        f"\nOperational series: {len(series)}, {total} incidents in {days:,.0f} series-days; "
        f"one threshold for all, at most {BUDGET} false alarms a series-day.\n"
        f"In brackets where alarms stay on: more than {STAYS_ON:.0%} of all ordinary readings are in one."
    )
    click.echo(report.operational(found))


def _calibration(candidates: Sequence[Candidate], labelled: Sequence[Series]) -> None:
    groups: dict[str, list[Series]] = {}
    for one in labelled:
        groups.setdefault(one.group, []).append(one)
    kinds = made_up()
    for candidate in candidates:
        if candidate.alerts is None:
            continue
        found = {name: _rates(candidate.alerts, series) for name, series in groups.items()}
        each = {one.name: _rates(candidate.alerts, [one]) for one in kinds}
        found["made-up"] = {
            budget: together([rates[budget] for rates in each.values()]) for budget in ASKED
        }
        click.echo(f"\nFalse alarms of {candidate.name} over what `false_alarms:` asked for.")
        click.echo(report.calibration(found | each))


def _rates(alerts: Alerts, series: Sequence[Series]) -> dict[str, Calibration]:
    return {budget: calibrate(series, alerts, rate) for budget, rate in ASKED.items()}


def _ablate(labelled: Sequence[Series], series: Sequence[Series], tries: Sequence[str]) -> None:
    settings = getattr(detectors, "Settings", None)
    if settings is None:
        raise click.ClickException(
            "the default detector has no settings (detectors.Settings) to leave parts out of"
        )
    try:
        found = ablation.configurations(settings(), tries)
    except ValueError as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(ablation.ablate(found, scorer, labelled, series))


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
    help="A checkout of github.com/numenta/NAB, to score with its own scorer; NAB_PYTHON is its Python.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Where scores in NAB's format go.")
@click.option("--ablate", is_flag=True, help="Judge the default with each part left out instead.")
@click.option(
    "--try", "tries", multiple=True, help="With --ablate: another configuration, NAME=VALUE,..."
)
def main(
    candidates: list[Candidate],
    only: tuple[str, ...],
    data: Path,
    home: Path | None,
    output: Path | None,
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
        _ablate(labelled, files, tries)
        return
    if "ops" in only and labelled:
        _ops(candidates, labelled)
    if "nab" in only and files:
        _nab(candidates, files, home, output or Path(tempfile.mkdtemp(prefix="burnline-nab-")))
    if "calibration" in only:
        _calibration(candidates, labelled)
    if "speed" in only:
        click.echo()
        speed.main()


if __name__ == "__main__":
    main()
