"""Draws a page with Grafana's own SDK."""

from grafana_foundation_sdk.builders import dashboard, stat, table, timeseries
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
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from scripts.dashboards._page import Choice, Page, Panel, Query

SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
HEIGHT = 8
LETTERS = "ABCDEFGHIJ"


def drawn(page: Page) -> str:
    """The dashboard as JSON."""
    board = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.text)
        .tags(["burnline"])
        .refresh(page.refresh)
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Burnline")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["burnline"])
            .as_dropdown(True)  # noqa: FBT003  a builder's method
            .keep_time(True)  # noqa: FBT003  a builder's method
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    for choice in page.choices:
        board.with_variable(_variable(choice))
    width = 24 // max(1, len(page.glance))
    for panel in page.glance:
        board.with_panel(_number(page, panel, width))
    for title, panels in page.rows:
        board.with_row(dashboard.Row(title))
        for panel in panels:
            if panel.kind == "lines":
                board.with_panel(_lines(page, panel))
            elif panel.kind == "table":
                board.with_panel(_table(page, panel))
            else:
                board.with_panel(_number(page, panel, panel.width))
    return JSONEncoder(indent=2, sort_keys=True).encode(board.build()) + "\n"


def _variable(choice: Choice) -> dashboard.QueryVariable:
    made = dashboard.QueryVariable(choice.name).query(choice.query).datasource(SOURCE)
    if choice.label:
        made.label(choice.label)
    return (
        made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)  # noqa: FBT003  a builder's method
        .include_all(True)  # noqa: FBT003  a builder's method
        .all_value(".*")
    )


def _number(page: Page, panel: Panel, width: int) -> stat.Panel:
    made = stat.Panel().title(panel.title).description(panel.text).unit(panel.unit)
    made.datasource(SOURCE).height(4).span(width)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.levels is not None:
        made.thresholds(_levels(panel))
    for letter, query in zip(LETTERS, panel.queries, strict=False):
        made.with_target(_target(page, letter, query))
    return made


def _levels(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color=panel.colours[0])]
    steps += [
        Threshold(value=level, color=colour)
        for level, colour in zip(panel.levels or (), panel.colours[1:], strict=False)
    ]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _lines(page: Page, panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().title(panel.title).description(panel.text).unit(panel.unit)
    made.datasource(SOURCE).height(HEIGHT).span(panel.width).fill_opacity(8)
    if panel.least is not None:
        made.min(panel.least)
    made.legend(
        VizLegendOptions()
        .show_legend(True)  # noqa: FBT003  a builder's method
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    made.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    for letter, query in zip(LETTERS, panel.queries, strict=False):
        made.with_target(_target(page, letter, query))
    return made


def _table(page: Page, panel: Panel) -> table.Panel:
    """One row for each set of labels, one column for each query; its legend is the column's name."""
    made = table.Panel().title(panel.title).description(panel.text).unit(panel.unit)
    made.datasource(SOURCE).height(HEIGHT).span(panel.width)
    for letter, query in zip(LETTERS, panel.queries, strict=False):
        target = _target(page, letter, query)
        made.with_target(target.format(PromQueryFormat.TABLE).instant())
    hidden = {"Time": True} | {f"Time {n}": True for n in range(1, len(panel.queries) + 1)}
    names = {
        f"Value #{letter}": query.legend
        for letter, query in zip(LETTERS, panel.queries, strict=False)
    }
    for kind, options in (
        ("merge", {}),
        (
            "organize",
            {"excludeByName": hidden, "renameByName": names | {"Value": names["Value #A"]}},
        ),
    ):
        made.with_transformation(DataTransformerConfig(id_val=kind, options=options))
    return made


def _target(page: Page, letter: str, query: Query) -> prom.Dataquery:
    made = prom.Dataquery().expr(page.chosen(query.promql)).legend_format(query.legend)
    if query.exemplars:
        made.exemplar(True)  # noqa: FBT003  a builder's method
    return made.ref_id(letter)
