"""The parts of `make bench-detection` that judge: each scores, judges and prints a table."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.detection import judges, nab, nab_scorer, report
from benchmarks.detection.alarms import STAYS_ON
from benchmarks.detection.calibration import (
    ASKED,
    Alerts,
    Calibration,
    calibrate,
    made_up,
    together,
)
from benchmarks.detection.candidates import Candidate
from benchmarks.detection.incidents import BUDGET
from benchmarks.detection.series import Series
from detectors.verdict import Floats


def _scored(candidate: Candidate, series: Sequence[Series]) -> list[Floats]:
    began = time.perf_counter()
    scores = [candidate.score(one) for one in series]
    points = sum(len(one.values) for one in series)
    click.echo(
        f"  {candidate.name}: {points:,} points in {time.perf_counter() - began:.1f} s", err=True
    )
    return scores


def scores_nab(
    candidates: Sequence[Candidate], series: Sequence[Series], home: Path | None, output: Path
) -> None:
    """NAB's scores, of ours and of its own scorer where a checkout of NAB is given; files go to `output`."""
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


def finds_incidents(candidates: Sequence[Candidate], series: Sequence[Series]) -> None:
    """Recall and precision at one threshold, and areas."""
    found = {c.name: judges.operational(series, _scored(c, series)) for c in candidates}
    days, total = sum(one.days for one in series), sum(len(one.windows) for one in series)
    click.echo(
        f"\nOperational series: {len(series)}, {total} incidents in {days:,.0f} series-days; "
        f"one threshold for all, at most {BUDGET} false alarms a series-day.\n"
        f"In brackets where alarms stay on: more than {STAYS_ON:.0%} of all ordinary readings are in one."
    )
    click.echo(report.operational(found))
    click.echo(
        "\nBy other definitions of an alarm, at the threshold of other series, with other buffers:"
    )
    click.echo(report.other_definitions(found))


def keeps_budgets(candidates: Sequence[Candidate], labelled: Sequence[Series]) -> None:
    """False alarms over what was asked for, of those that have a budget."""
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
