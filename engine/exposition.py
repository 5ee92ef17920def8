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

from engine import metrics
from engine._families import Floats, render, render_fixed, samples_of
from engine._layout import Layout, lay_out, sums
from engine.board import Snapshot
from slo.decision import Alert, Decision
from slo.durations import SECONDS
from slo.model import Objective
from slo.rendering import alert_labels, percentage, sloth_labels, user_labels

CURRENT_WINDOW = 300


class Exposition:
    """Renders decisions; may be called from any thread.

    Args:
        objectives: by id, in the order in which they are shown.
    """

    def __init__(self, objectives: Mapping[str, Objective]) -> None:
        self.objectives = objectives
        self._lock = threading.Lock()
        self._layout: Layout | None = None
        self._fixed = {om: _fixed(objectives.values(), openmetrics=om) for om in (False, True)}

    def render(
        self, snapshot: Snapshot, alerts: Sequence[Alert], *, openmetrics: bool = False
    ) -> bytes:
        """The series of all objectives, UTF-8; in OpenMetrics without the final `# EOF`."""
        decisions = snapshot.decisions
        pieces = [self._fixed[openmetrics]]
        if decisions:
            layout = self._laid_out(decisions, settled=snapshot.settled)
            ratios, others = matrices(layout, decisions)
            pieces += [render(f, ratios, openmetrics=openmetrics) for f in layout.ratios]
            pieces += [render(f, others, openmetrics=openmetrics) for f in layout.others]
        pieces.append(self._moment(decisions, alerts, openmetrics=openmetrics))
        return "".join(pieces).encode()

    def blocks(
        self, snapshot: Snapshot, alerts: Sequence[Alert]
    ) -> Iterator[tuple[list[str], Floats]]:
        """What `render` shows, for other formats: samples up to their values, and the values.

        Each sample is as `Family.heads` has it; those of a family are the same list until series change.
        """
        decisions = snapshot.decisions
        yield samples_of(self._fixed[False])
        if decisions:
            layout = self._laid_out(decisions, settled=snapshot.settled)
            ratios, others = matrices(layout, decisions)
            for families, matrix in ((layout.ratios, ratios), (layout.others, others)):
                for family in families:
                    yield family.heads, matrix[family.rows, family.columns]
        yield samples_of(self._moment(decisions, alerts, openmetrics=False))

    def _moment(
        self, decisions: Sequence[Decision], alerts: Iterable[Alert], *, openmetrics: bool
    ) -> str:
        """What no layout holds: when it was decided, and the alerts that fire."""
        oldest = [d.clock for d in decisions]
        clocks: list[tuple[dict[str, str], float]] = [({}, min(oldest))] if oldest else []
        firing = [(labels, 1.0) for labels in self._alerts(alerts)]
        return render_fixed(metrics.DECIDED, clocks, openmetrics=openmetrics) + render_fixed(
            metrics.ALERTS, firing, openmetrics=openmetrics
        )

    def _laid_out(self, decisions: Sequence[Decision], *, settled: bool) -> Layout:
        with self._lock:
            if self._layout is None or not self._layout.fits(decisions, settled=settled):
                self._layout = lay_out(self.objectives, decisions, settled=settled)
            return self._layout

    def _alerts(self, alerts: Iterable[Alert]) -> list[dict[str, str]]:
        return [
            alert_labels(alert, self.objectives[alert.series.objective]) | {"alertstate": "firing"}
            for alert in alerts
            if alert.series.objective in self.objectives
        ]


def matrices(layout: Layout, decisions: Sequence[Decision]) -> tuple[Floats, Floats]:
    """The values of a layout's families.

    Where nothing was counted the error ratio and the burn rates are 0 and the whole budget is
    left: no traffic burns nothing.

    Returns:
        `float64[rows, windows + 1]`, error ratios, the period's last; and `float64[rows, 6]`, by
        the columns that `engine._layout` names.
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
