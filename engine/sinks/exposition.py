"""`/metrics`: decisions as text, cheap at a hundred thousand series.

Label text is rendered once, when the set of series changes; a scrape only computes ratios, in
one numpy pass, and joins them with it. The text is what `prometheus_client` would write, byte for
byte (a test compares), in the text format 0.0.4 and in OpenMetrics 1.0.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import exposition as plain
from prometheus_client.openmetrics import exposition as openmetrics_format

from engine.sinks._anomaly_layout import AnomalyLayout, anomaly_matrix, lay_out_anomalies
from engine.sinks._cost_layout import CostLayout, cost_matrix, lay_out_costs
from engine.sinks._families import Family, Floats, present, render, render_fixed, samples_of
from engine.sinks._layout import Layout, lay_out, sums
from engine.sinks._usage_layout import UsageLayout, lay_out_usage, usage_matrices
from engine.sinks.board import Snapshot
from engine.sinks.shown import Shown
from engine.telemetry import metrics
from slo.decision import Decision
from slo.durations import SECONDS
from slo.model import Objective
from slo.rendering import percentage, sloth_labels, user_labels

CURRENT_WINDOW = 300


class Exposition:
    """Renders decisions; may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # What the texts kept here are of.
        self._objectives: Mapping[str, Objective] = {}
        self._mine: Mapping[str, Objective] = {}
        self._layout: Layout | None = None
        self._fixed: dict[bool, str] = {}
        self._anomalies: AnomalyLayout | None = None
        self._costs: CostLayout | None = None
        self._usage: UsageLayout | None = None

    def render(
        self,
        snapshot: Snapshot,
        alerts: Sequence[Shown],
        *,
        openmetrics: bool = False,
        always: Sequence[Mapping[str, str]] = (),
    ) -> bytes:
        """The series of all objectives, in their order, UTF-8; in OpenMetrics without the final `# EOF`.

        Args:
            snapshot: what the shards last decided, and under which objectives.
            alerts: those that fire.
            openmetrics: the format, instead of the text format.
            always: labels of further alerts, of no objective.
        """
        fixed, tables = self._texts(snapshot, openmetrics=openmetrics)
        pieces = [fixed]
        for families, matrix in tables:
            pieces += [render(family, matrix, openmetrics=openmetrics) for family in families]
        pieces.append(_moment(snapshot.decisions, alerts, always, openmetrics=openmetrics))
        return "".join(pieces).encode()

    def blocks(
        self,
        snapshot: Snapshot,
        alerts: Sequence[Shown],
        always: Sequence[Mapping[str, str]] = (),
    ) -> Iterator[tuple[list[str], Floats]]:
        """What `render` shows, for other formats: samples up to their values, and the values.

        Each sample is as `Family.heads` has it; those of a family are the same list until series change.
        """
        fixed, tables = self._texts(snapshot, openmetrics=False)
        yield samples_of(fixed)
        for families, matrix in tables:
            for family in families:
                yield present(family, matrix)
        yield samples_of(_moment(snapshot.decisions, alerts, always, openmetrics=False))

    def _texts(
        self, snapshot: Snapshot, *, openmetrics: bool
    ) -> tuple[str, list[tuple[Sequence[Family], Floats]]]:
        """What does not change with each decision; the families that do, and their values."""
        objectives, decisions = snapshot.objectives, snapshot.decisions
        mine = objectives if snapshot.mine is None else snapshot.mine
        with self._lock:
            if self._objectives is not objectives:
                self._objectives, self._layout = objectives, None
                self._costs = None
            fixed = self._fixed_text(mine, openmetrics=openmetrics)
            slos = {id_: o for id_, o in objectives.items() if not o.spend}
            empty = mine if snapshot.settled else {}
            if decisions and not (self._layout is not None and self._layout.fits(decisions, empty)):
                self._layout = lay_out(slos, decisions, empty)
            if len(slos) == len(objectives):
                self._costs = None
            elif self._costs is None or not self._costs.fits(decisions):
                self._costs = lay_out_costs(objectives, decisions)
            anomalies, monitors = snapshot.anomalies, snapshot.monitors
            if self._anomalies is None or not self._anomalies.fits(monitors, anomalies):
                self._anomalies = lay_out_anomalies(monitors, anomalies)
            if self._usage is None or not self._usage.fits(snapshot.usage):
                self._usage = lay_out_usage(snapshot.usage)
            layout, watched = self._layout, self._anomalies
            costs, calls = self._costs, self._usage
        tables: list[tuple[Sequence[Family], Floats]] = []
        if decisions and layout is not None:
            ratios, others = matrices(layout, decisions)
            tables += [(layout.ratios, ratios), (layout.others, others)]
        if decisions and costs is not None:
            tables.append((costs.families, cost_matrix(costs, decisions)))
        tables.append((watched.families, anomaly_matrix(watched, anomalies)))
        used, noted = usage_matrices(calls, snapshot.usage)
        return fixed, [*tables, (calls.of_calls, used), (calls.of_notes, noted)]

    def _fixed_text(self, mine: Mapping[str, Objective], *, openmetrics: bool) -> str:
        if self._mine is not mine:
            self._mine, self._fixed = mine, {}
        if openmetrics not in self._fixed:
            shown = (o for o in mine.values() if not o.spend)
            self._fixed[openmetrics] = _fixed(shown, openmetrics=openmetrics)
        return self._fixed[openmetrics]


def _moment(
    decisions: Sequence[Decision],
    alerts: Iterable[Shown],
    always: Iterable[Mapping[str, str]],
    *,
    openmetrics: bool,
) -> str:
    """What no layout holds: when it was decided, and the alerts that fire."""
    oldest = [d.clock for d in decisions]
    clocks: list[tuple[dict[str, str], float]] = [({}, min(oldest))] if oldest else []
    labels = [*(dict(shown.labels) for shown in alerts), *always]
    firing = [({**each, "alertstate": "firing"}, 1.0) for each in labels]
    return render_fixed(metrics.DECIDED, clocks, openmetrics=openmetrics) + render_fixed(
        metrics.ALERTS, firing, openmetrics=openmetrics
    )


def matrices(layout: Layout, decisions: Sequence[Decision]) -> tuple[Floats, Floats]:
    """The values of a layout's families.

    Where nothing was counted the error ratio and the burn rates are 0 and the whole budget is
    left: no traffic burns nothing.

    Returns:
        `float64[rows, windows + 1]`, error ratios, the period's last; and `float64[rows, 6]`, by
        the columns that `engine.sinks._layout` names.
    """
    counts, lifetime, frozen = sums(layout, decisions)
    bad, total = counts[:, :, 0].astype(np.float64), counts[:, :, 1].astype(np.float64)
    ratios = np.divide(bad, total, out=np.zeros_like(bad), where=total > 0)
    burns = ratios[:, [decisions[0].windows.index(CURRENT_WINDOW), -1]] / layout.budgets[:, None]
    remaining = 1.0 - burns[:, 1]
    others = np.column_stack(
        [remaining, burns, lifetime[:, 0], lifetime[:, 1] - lifetime[:, 0], frozen]
    )
    return ratios, others


def page(body: bytes, registry: CollectorRegistry, *, openmetrics: bool = False) -> bytes:
    """The whole page: the objectives' series and the engine's own metrics."""
    if openmetrics:
        own: bytes = openmetrics_format.generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
        return body + own
    return body + generate_latest(registry)


def content_type(*, openmetrics: bool) -> str:
    """The Content-Type of a page."""
    if openmetrics:
        return openmetrics_format.CONTENT_TYPE_LATEST
    return plain.CONTENT_TYPE_PLAIN_0_0_4


def _fixed(objectives: Iterable[Objective], *, openmetrics: bool) -> str:
    """What does not change: objectives, budgets, periods, info."""
    labelled = [(user_labels(o) | sloth_labels(o), o) for o in objectives]
    info = {
        "sloth_version": engine_version(),
        "sloth_mode": "burnline",
        "sloth_spec": "burnline/v1",
    }
    families = (
        (metrics.OBJECTIVE, [(ls, float(o.target)) for ls, o in labelled]),
        (metrics.ERROR_BUDGET, [(ls, float(1 - o.target)) for ls, o in labelled]),
        (metrics.TIME_PERIOD, [(ls, o.period / SECONDS["d"]) for ls, o in labelled]),
        (
            metrics.INFO,
            [(ls | info | {"sloth_objective": percentage(o)}, 1.0) for ls, o in labelled],
        ),
    )
    return "".join(render_fixed(s, samples, openmetrics=openmetrics) for s, samples in families)


def engine_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("burnline")
    except PackageNotFoundError:
        return "unknown"
