"""Anomalies: what is strange now, and what was expected instead."""

from scripts.dashboards._page import Choice, Page, Panel, Query

_LEGEND = "{{service}} {{feature}} {{gen_ai_request_model}}"
GLANCE = (
    Panel(
        "Strange now",
        "Series beyond their budget of false alarms.",
        "short",
        (Query("sum(burnline_anomaly_active{E}) or vector(0)"),),
        (1,),
    ),
    Panel("Series watched", "", "short", (Query("count(burnline_anomaly_value{E})"),)),
    Panel(
        "Learning",
        "Series of which too little is known yet.",
        "short",
        (Query('sum(burnline_anomaly_series{state="learning"})'),),
    ),
    Panel(
        "Incidents, 24 h",
        "Alerts of anomalies that began.",
        "short",
        (Query("sum(increase(burnline_anomaly_incidents_total[24h]))"),),
    ),
)
ROWS = (
    (
        "What is strange",
        (
            Panel(
                "Score",
                "From 0 to 1, of the same meaning for every series; the ten strangest.",
                "short",
                (Query("topk(10, burnline_anomaly_score{E})", _LEGEND),),
                width=12,
            ),
            Panel(
                "Active",
                "1 while a series is strange beyond its budget of false alarms.",
                "short",
                (Query("burnline_anomaly_active{E}", _LEGEND),),
                width=12,
            ),
        ),
    ),
    (
        "What was seen, and what was expected",
        (
            Panel(
                "Observed",
                "In the last interval.",
                "short",
                (Query("burnline_anomaly_value{E}", _LEGEND),),
                least=None,
            ),
            Panel(
                "Expected",
                "Forecast from the intervals before.",
                "short",
                (Query("burnline_anomaly_expected{E}", _LEGEND),),
                least=None,
            ),
            Panel(
                "Ordinary, from and to",
                "",
                "short",
                (
                    Query("burnline_anomaly_lower{E}", f"from {_LEGEND}"),
                    Query("burnline_anomaly_upper{E}", f"to {_LEGEND}"),
                ),
                least=None,
            ),
        ),
    ),
)
PAGE = Page(
    uid="burnline-anomalies",
    title="Burnline: anomalies",
    text="Series that are watched without an objective: what was seen, what was expected, how strange it is.",
    choices=(
        Choice("service", "label_values(burnline_anomaly_value, service)"),
        Choice("feature", 'label_values(burnline_anomaly_value{service=~"$service"}, feature)'),
    ),
    selector='service=~"$service", feature=~"$feature"',
    glance=GLANCE,
    rows=ROWS,
)
