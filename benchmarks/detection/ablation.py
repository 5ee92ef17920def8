"""What each part of the default adds: it is judged again with one part left out at a time.

The detector's settings are the constants of its kernel. A part is left out by executing the kernel's source
with some of them replaced. All are scored on labelled series, so their number stands beside the table.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import click

from benchmarks.detection import halves, incidents, judges, nab
from benchmarks.detection.baselines import Scorer
from benchmarks.detection.report import carried, table
from benchmarks.detection.series import Series
from detectors import _kernel

Constants = Mapping[str, float]
HUGE = 1e12
_SOURCE = Path(_kernel.__file__).read_text()

# What is left out, and the constants that leave it out. A level that follows at once is the last value again.
LEFT_OUT: dict[str, Constants] = {
    "no season": {"SEASON_GAIN": 0},
    "season always": {"SEASON_GAIN": HUGE},
    "no time-of-day spread": {"USUAL_WEIGHT": HUGE},
    "no fast level": {"FAST": 1},
    "no slow level": {"SLOW": 1},
    "no short mean less long mean": {"SHORT": 1, "LONG": 1},
    "last value only": {"FAST": 1, "SLOW": 1, "SHORT": 1, "LONG": 1},
    "no scale floor": {"FLOOR_SHARE": 0, "SPREAD_SHARE": 0},
    "no winsorising": {"WINSOR": HUGE},
    "tail only": {"MAGNITUDE": 0},
    "magnitude only": {"MAGNITUDE": 1},
    "tail not trimmed": {"TAIL_TRIMMED": 0},
    "no knee": {"KNEE": HUGE},
    "no novelty": {"NOVEL_WEIGHT": 0},
    "novelty ungated": {"GATE": -HUGE},
    "no hold": {"HOLD": 0},
    "no absorption": {"ABSORB": HUGE, "ABSORB_DAYS": HUGE},
}


def settings() -> dict[str, float]:
    """The kernel's settings by name; what its source calculates from others is none."""
    return {name: value.value for name, value in _settings(_tree())}


def kernel(constants: Constants) -> ModuleType:
    """The default's kernel with some constants replaced; it compiles when it is used, uncached.

    Args:
        constants: by name; others stay.
    """
    tree = _tree()
    for name, value in _settings(tree):
        if name in constants:
            value.value = constants[name]
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "cache":
            # Numba's cache knows a function by its file and line: this one would be taken for the default's.
            node.value = ast.copy_location(ast.Constant(value=False), node.value)
    module = ModuleType("ablated")
    exec(compile(tree, str(_kernel.__file__), "exec"), module.__dict__)  # noqa: S102 - our own source
    return module


def _tree() -> ast.Module:
    return ast.parse(_SOURCE)


def _settings(tree: ast.Module) -> list[tuple[str, ast.Constant]]:
    """Name and value of the positive numbers that are assigned behind SIZE, which ends the row's layout."""
    pairs: list[tuple[str, ast.expr]] = []
    for statement in tree.body:
        if not isinstance(statement, ast.Assign):
            continue
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            names = [one.id for one in target.elts if isinstance(one, ast.Name)]
            pairs += zip(names, value.elts, strict=True)
        elif isinstance(target, ast.Name):
            pairs.append((target.id, value))
    names = [name for name, _ in pairs]
    behind = pairs[names.index("SIZE") + 1 :]
    return [(name, value) for name, value in behind if isinstance(value, ast.Constant)]


def configurations(tries: Sequence[str] = ()) -> dict[str, Constants]:
    """The default as it is, with each part left out in turn, and each try.

    Args:
        tries: such as `HOLD=0` or `NOVEL_WEIGHT=0,HOLD=0`.

    Raises:
        ValueError: a try names no setting, or has no number.
    """
    return {"default": {}, **LEFT_OUT, **{text: _changes(text) for text in tries}}


def _changes(text: str) -> dict[str, float]:
    names = settings()
    changes = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name not in names:
            raise ValueError(f"{part!r} should be NAME=VALUE with one of: {', '.join(names)}")
        try:
            changes[name] = int(value) if value.lstrip("-").isdigit() else float(value)
        except ValueError as problem:
            raise ValueError(f"{part!r}: {value!r} is no number") from problem
    return changes


def ablate(
    found: Mapping[str, Constants],
    scorer: Callable[[Constants], Scorer],
    operational: Sequence[Series],
    numenta: Sequence[Series],
) -> str:
    """The table, and what split halves come to where the configuration is chosen too.

    Args:
        found: constants by name, the default first.
        scorer: makes a scorer of them.
        operational: labelled series.
        numenta: NAB's files.
    """
    rows, sweeps, every = [], [], []
    for name, constants in found.items():
        click.echo(f"  {name}", err=True)
        score = scorer(constants)
        every.append([score(one) for one in operational])
        ops = judges.operational(operational, every[-1])
        scores = [score(one) for one in numenta]
        sweeps.append(nab.sweep(numenta, scores, mute=nab.MUTE))
        plain = nab.sweep(numenta, scores)
        rows.append(
            [
                name,
                ", ".join(f"{which}={value:g}" for which, value in constants.items()),
                f"{ops.overall.recall:.3f} / {ops.overall.precision:.3f}",
                " / ".join(f"{one.recall:.3f}" for one in ops.groups.values()),
                f"{ops.each_run.recall:.3f}",
                f"{ops.vus_pr:.3f}",
                f"{sweeps[-1].score(sweeps[-1].best()):.1f}",
                f"{halves.split_halves(sweeps[-1:])[0]:.1f}",
                f"{plain.score(plain.best()):.1f}",
            ]
        )
    head = ["configuration", "constants", "recall / precision", "each group alone", "each run"]
    head += ["VUS-PR", f"NAB, one per {nab.MUTE}", "split halves", "NAB, every reading"]
    mean, deviation = halves.split_halves(sweeps)
    both = carried(halves.carried(operational, every))
    return (
        f"{table(head, rows)}\n{len(found)} configurations scored on labelled series, "
        f"at {incidents.BUDGET} false alarms a series-day.\n"
        f"Configuration and threshold chosen on one half, scored on the other: "
        f"operational {both} false alarms a series-day; NAB {mean:.1f} (standard deviation {deviation:.1f})."
    )
