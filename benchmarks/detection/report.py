"""The figures as tables for a terminal, which are Markdown too."""

from collections.abc import Mapping, Sequence

from benchmarks.detection.alarms import Outcome
from benchmarks.detection.calibration import Calibration
from benchmarks.detection.halves import Carried
from benchmarks.detection.judges import Numenta, Operational
from benchmarks.detection.nab import MUTE


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["x", "1"]]))
    | a | b |
    |---|---|
    | x | 1 |
    """
    lines = [head, *rows]
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(head), *shown[1:]])


def _both(outcome: Outcome) -> str:
    text = f"{outcome.recall:.2f} / {outcome.precision:.2f}"
    return f"({text})" if outcome.stays_on else text


def carried(one: Carried) -> str:
    """Recall, precision and false alarms a day on series that the threshold was not chosen on."""
    return f"{one.recall:.2f} / {one.precision:.2f} at {one.rate:.2f}"


def operational(found: Mapping[str, Operational]) -> str:
    """Recall and precision by detector; in brackets where its alarms stay on."""
    groups = sorted({group for one in found.values() for group in one.groups})
    head = ["detector", "recall / precision", "carried over", *(f"{g} alone" for g in groups)]
    head += ["VUS-PR", "AUC-PR", "outside"]
    rows = [
        [
            name,
            _both(one.overall),
            carried(one.carried),
            *(_both(one.groups[group]) for group in groups),
            f"{one.vus_pr:.3f}",
            f"{one.auc_pr:.3f}",
            f"{one.overall.outside / one.overall.ordinary:.2%}",
        ]
        for name, one in found.items()
    ]
    return table(head, rows)


def other_definitions(found: Mapping[str, Operational]) -> str:
    """The same by other definitions of an alarm, at the others' threshold, and with other buffers."""
    groups = sorted({group for one in found.values() for group in one.left_out})
    buffers = sorted({buffer for one in found.values() for buffer in one.vus_pr_at})
    head = ["detector", "tolerant", "each run", "by the hour", *(f"{g} left out" for g in groups)]
    head += [f"VUS-PR, {buffer}" for buffer in buffers]
    rows = [
        [
            name,
            _both(one.tolerant),
            _both(one.each_run),
            _both(one.by_hour),
            *(f"{_both(one.left_out[g])} at {one.left_out[g].rate:.2f}" for g in groups),
            *(f"{one.vus_pr_at[buffer]:.3f}" for buffer in buffers),
        ]
        for name, one in found.items()
    ]
    return table(head, rows)


def numenta(found: Mapping[str, Numenta]) -> str:
    """NAB's scores by detector: of every reading, and where a detection mutes those behind it."""
    head = ["detector", "every reading", "split halves", f"one per {MUTE}", "split halves"]
    rows = [
        [
            name,
            " / ".join(f"{score:.1f}" for score in one.every),
            f"{one.halves_every:.1f}",
            " / ".join(f"{score:.1f}" for score in one.muted),
            f"{one.halves:.1f}",
        ]
        for name, one in found.items()
    ]
    return table(head, rows)


def calibration(found: Mapping[str, Mapping[str, Calibration]]) -> str:
    """Rates of false alarms over what was asked, by series and budget, and incidents found."""
    budgets = list(next(iter(found.values())))
    return table(
        ["series", *(f"asked {budget}" for budget in budgets)],
        [[name, *(_budget(one) for one in row.values())] for name, row in found.items()],
    )


def _budget(one: Calibration) -> str:
    text = f"{one.ratio:.2f} x ({one.false} in {one.days:,.0f} d)"
    return f"{text}, {one.found} of {one.incidents} found" if one.incidents else text
