"""Prints docs/metrics.md: every family that `engine.telemetry.metrics` defines.

Write the page anew with `python -m scripts.metrics_page > docs/metrics.md`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from engine.telemetry import metrics

UNITS = ("bytes", "days", "dollars", "ratio", "seconds")
PAGE = """\
# Metrics

What `/metrics` shows. This page is made from `engine/telemetry/metrics.py`; write it anew with
`python -m scripts.metrics_page > docs/metrics.md`.

## Each SLO

The names with colons, `sloth_slo_info` and `ALERTS` are those that Sloth's dashboards read. They have the
labels `sloth_id`, `sloth_service`, `sloth_slo` and the SLO's own; `burnline_slo_...` of an SLO with `by`
also have those of its groups. "Ratio" is a share from 0 to 1, or a burn rate.

{slos}

`slo:sli_error:ratio_rate...` stands once for every window in use (`5m`, `1h`, `30d`, ...), with the label
`sloth_window`.

## Each cost budget

With the labels `burnline_id`, `service`, `budget`, `period`, those of the group (`by`) and the budget's own;
the burn rate also with `window`. What there is not is absent: a forecast while too little is known for one,
and all but what was counted of the series that groups beyond the limit share. Their alerts are in `ALERTS`.
[Cost budgets](cost-budgets.md).

{costs}

## Each series that is watched for anomalies

With the labels `monitor`, `service`, `feature` and those of the entity (`by`), at the interval that ended
last. What there is not is absent: while a detector learns an expectation, of an interval without events a
latency. Their alerts are in `ALERTS`.

{anomalies}

## Model calls

What all calls of models used, with the labels `service`, `provider`, `model`, and `tenant` except for
errors and calls without a cost. [Labels and bounds](llm-series.md).

{calls}

## The engine

{engine}

Beside these stand the official client's own, `process_...` and `python_...`: memory, CPU, open files,
garbage collection.
"""


class Row(NamedTuple):
    """A family as the page shows it."""

    name: str
    type: str
    unit: str
    help: str


def page() -> str:
    """The whole page."""
    return PAGE.format(
        slos=_table(slo_rows()),
        costs=_table(cost_rows()),
        anomalies=_table(anomaly_rows()),
        calls=_table(call_rows()),
        engine=_table(engine_rows()),
    )


def slo_rows() -> list[Row]:
    """The families made from decisions."""
    ratio = metrics.error_ratio("...")
    rows = [_row(s.name, s.type, s.help) for s in metrics.SLO_SERIES]
    return [*rows[:3], _row(ratio.name, ratio.type, "Share of bad events in a window."), *rows[3:]]


def cost_rows() -> list[Row]:
    """The families made from decisions on cost budgets."""
    return [_row(s.name, s.type, s.help) for s in metrics.COST_SERIES]


def anomaly_rows() -> list[Row]:
    """The families made from decisions on anomalies."""
    return [_row(s.name, s.type, s.help) for s in metrics.ANOMALY_SERIES]


def call_rows() -> list[Row]:
    """The families made from what was counted of model calls."""
    return [_row(s.name, s.type, s.help) for s in metrics.LLM_SERIES]


def engine_rows() -> list[Row]:
    """The engine's own families, those that are registered later included."""
    engine = metrics.EngineMetrics()
    engine.watch_spool(lambda: (0, 0), 0)
    engine.watch_flow(lambda: 0.0, lambda: 0)
    engine.watch_disk(Path())
    engine.watch_points(lambda: ({}, 0))
    return [
        _row(family.name, family.type, family.documentation)
        for family in sorted(engine.registry.collect(), key=lambda family: family.name)
        if family.name.startswith("burnline_")
    ]


def _row(name: str, kind: str, text: str) -> Row:
    words = re.split("[_:]", name)
    unit = next((word for word in reversed(words) if word in UNITS), "")
    return Row(f"{name}_total" if kind == "counter" else name, kind, unit, text)


def _table(rows: Iterable[Row]) -> str:
    lines = ["| name | type | unit | what |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.type} | {row.unit} | {row.help} |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
