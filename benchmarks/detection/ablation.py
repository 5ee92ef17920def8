"""What each part of the default adds: it is judged again with one part left out at a time.

The parts are the switches (fields that are true) of the detector's settings; `--try name=value` adds a
configuration. All are scored on labelled series, so their number stands beside the table.
"""

import ast
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.detection import halves, incidents, judges, nab
from benchmarks.detection.baselines import Scorer
from benchmarks.detection.report import carried, table
from benchmarks.detection.series import Series


def configurations(settings: Any, tries: Sequence[str] = ()) -> dict[str, Any]:
    """The settings as they are, with each switch off in turn, and each try.

    Args:
        settings: a dataclass.
        tries: such as `fading=0.01` or `season=False,fading=0.1`.

    Raises:
        ValueError: a try names no field, or has no value that Python reads.
    """
    found = {"default": settings}
    for field in dataclasses.fields(settings):
        if getattr(settings, field.name) is True:
            found[f"without {field.name}"] = dataclasses.replace(settings, **{field.name: False})
    for text in tries:
        found[text] = dataclasses.replace(settings, **_changes(settings, text))
    return found


def _changes(settings: Any, text: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(settings)]
    changes = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name.strip() not in names:
            raise ValueError(f"{part!r} should be NAME=VALUE with one of: {', '.join(names)}")
        try:
            changes[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError) as problem:
            raise ValueError(f"{part!r}: {value!r} is no Python value") from problem
    return changes


def ablate(
    found: Mapping[str, Any],
    scorer: Callable[[Any], Scorer],
    operational: Sequence[Series],
    numenta: Sequence[Series],
) -> str:
    """The table, and what split halves come to where the configuration is chosen too.

    Args:
        found: settings by name, the default first.
        scorer: makes a scorer of settings.
        operational: labelled series.
        numenta: NAB's files.
    """
    rows, sweeps, every = [], [], []
    for name, settings in found.items():
        score = scorer(settings)
        every.append([score(one) for one in operational])
        ops = judges.operational(operational, every[-1])
        sweeps.append(nab.sweep(numenta, [score(one) for one in numenta], mute=nab.MUTE))
        rows.append(
            [
                name,
                f"{ops.overall.recall:.3f} / {ops.overall.precision:.3f}",
                " / ".join(f"{one.recall:.3f}" for one in ops.groups.values()),
                f"{ops.vus_pr:.3f}",
                f"{sweeps[-1].score(sweeps[-1].best()):.1f}",
                f"{halves.split_halves(sweeps[-1:])[0]:.1f}",
            ]
        )
    head = ["configuration", "recall / precision", "each group", "VUS-PR", "NAB", "split halves"]
    mean, deviation = halves.split_halves(sweeps)
    both = carried(halves.carried(operational, every))
    return (
        f"{table(head, rows)}\n{len(found)} configurations scored on labelled series, "
        f"at {incidents.BUDGET} false alarms a series-day.\n"
        f"Configuration and threshold chosen on one half, scored on the other: "
        f"operational {both} false alarms a series-day; NAB {mean:.1f} (standard deviation {deviation:.1f})."
    )
