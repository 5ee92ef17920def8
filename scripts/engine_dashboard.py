"""Prints deploy/grafana/burnline-engine.json: the Grafana dashboard of the engine itself.

Write it anew with `python -m scripts.engine_dashboard > deploy/grafana/burnline-engine.json`.
"""

from grafana_foundation_sdk.builders import dashboard, stat, timeseries
from grafana_foundation_sdk.builders import prometheus as prom
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

from scripts.engine_panels import GLANCE, ROWS, Panel, Query, chosen

SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
WIDTH, HEIGHT = 8, 8


def page() -> str:
    """The dashboard as JSON."""
    board = (
        dashboard.Dashboard("Burnline: the engine")
        .uid("burnline-engine")
        .description(
            "How the engine itself is: what comes in, how far it has decided, what it keeps."
        )
        .tags(["burnline"])
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(_variable("job", "label_values(burnline_build_info, job)"))
        .with_variable(
            _variable("instance", 'label_values(burnline_build_info{job=~"$job"}, instance)')
        )
    )
    for panel in GLANCE:
        board.with_panel(_number(panel))
    for title, panels in ROWS:
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(_lines(panel))
    return JSONEncoder(indent=2, sort_keys=True).encode(board.build()) + "\n"


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)  # noqa: FBT003  a builder's method
        .include_all(True)  # noqa: FBT003  a builder's method
    )


def _number(panel: Panel) -> stat.Panel:
    made = stat.Panel().title(panel.title).description(panel.text).unit(panel.unit)
    made.datasource(SOURCE).height(4).span(4)
    if panel.levels is not None:
        steps = [Threshold(value=None, color=panel.colours[0])]
        steps += [
            Threshold(value=level, color=colour)
            for level, colour in zip(panel.levels, panel.colours[1:], strict=False)
        ]
        made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made.with_target(_target(letter, query))
    return made


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().title(panel.title).description(panel.text).unit(panel.unit)
    made.datasource(SOURCE).height(HEIGHT).span(WIDTH).min(0).fill_opacity(8)
    made.legend(
        VizLegendOptions()
        .show_legend(True)  # noqa: FBT003  a builder's method
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    made.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made.with_target(_target(letter, query))
    return made


def _target(letter: str, query: Query) -> prom.Dataquery:
    made = prom.Dataquery().expr(chosen(query.promql)).legend_format(query.legend)
    return made.ref_id(letter)


if __name__ == "__main__":
    print(page(), end="")
