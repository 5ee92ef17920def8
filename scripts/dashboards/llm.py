"""LLM calls at a glance: as the application tells of them (burnline-llm), and as Burnline counts spans."""

from scripts.dashboards._page import RATE, Choice, Page, Panel, Query, quantiles

_P = (0.5, 0.95, 0.99)
_BY_MODEL = 'service=~"$service", model=~"$model"'


def _sum(series: str, by: str, legend: str, *, exemplars: bool = False) -> Query:
    return Query(f"sum by ({by}) (rate({series}{{E}}{RATE}))", legend, exemplars)


# An error series is made with its first error: none of them is a ratio of 0, where there was a request.
ERROR_RATIO = (
    f'(sum(rate(llm_requests_total{{E, status="error"}}{RATE})) or vector(0))'
    f" / sum(rate(llm_requests_total{{E}}{RATE}))"
)
GLANCE = (
    Panel("Requests", "A second.", "reqps", (Query(f"sum(rate(llm_requests_total{{E}}{RATE}))"),)),
    Panel("Errors", "Of all requests.", "percentunit", (Query(ERROR_RATIO),), (0.01, 0.05)),
    Panel(
        "Latency (p95)",
        "Of whole calls, streamed ones to their last chunk.",
        "s",
        (
            Query(
                f"histogram_quantile(0.95, sum by (le) (rate(llm_latency_seconds_bucket{{E}}{RATE})))"
            ),
        ),
        (5, 15),
    ),
    Panel(
        "First token (p95)",
        "Of streamed calls.",
        "s",
        (
            Query(
                "histogram_quantile(0.95, sum by (le)"
                f" (rate(llm_time_to_first_token_seconds_bucket{{E}}{RATE})))"
            ),
        ),
        (2, 5),
    ),
    Panel(
        "Cost an hour",
        "Of the last hour's calls that have a price.",
        "currencyUSD",
        (Query("sum(increase(llm_cost_dollars_total{E}[1h]))"),),
    ),
    Panel("Active", "Calls under way now.", "short", (Query("sum(llm_active_requests{A})"),)),
)
ROWS = (
    (
        "Requests",
        (
            Panel(
                "Requests a second by model",
                "Points are calls that lead to their trace.",
                "reqps",
                (_sum("llm_requests_total", "model", "{{model}}", exemplars=True),),
            ),
            Panel(
                "Errors by model",
                "Share of each model's calls that failed.",
                "percentunit",
                (
                    Query(
                        f'sum by (model) (rate(llm_requests_total{{E, status="error"}}{RATE}))'
                        f" / sum by (model) (rate(llm_requests_total{{E}}{RATE}))",
                        "{{model}}",
                    ),
                ),
            ),
            Panel(
                "Active requests",
                "Under way at the scrape, by process.",
                "short",
                (Query("llm_active_requests{A}"),),
            ),
        ),
    ),
    (
        "Time",
        (
            Panel(
                "Latency",
                "Whole calls. Points are calls that lead to their trace.",
                "s",
                quantiles("llm_latency_seconds", among=_P, exemplars=True),
            ),
            Panel(
                "Latency (p95) by model",
                "",
                "s",
                quantiles("llm_latency_seconds", "model", (0.95,), exemplars=True),
            ),
            Panel(
                "Time to first token",
                "Of streamed calls. Points are calls that lead to their trace.",
                "s",
                quantiles("llm_time_to_first_token_seconds", among=_P, exemplars=True),
            ),
        ),
    ),
    (
        "Tokens and dollars",
        (
            Panel(
                "Tokens a second",
                "Cached tokens are within input, reasoning within output.",
                "short",
                (_sum("llm_tokens_total", "type", "{{type}}"),),
            ),
            Panel(
                "Cost an hour by model",
                "At the present rate.",
                "currencyUSD",
                (
                    Query(
                        f"3600 * sum by (model) (rate(llm_cost_dollars_total{{E}}{RATE}))",
                        "{{model}}",
                    ),
                ),
            ),
            Panel(
                "Calls without a price",
                "No price for the model, or no usage in the answer: their cost is unknown, not zero.",
                "reqps",
                (_sum("llm_unpriced_total", "model, reason", "{{model}} {{reason}}"),),
            ),
        ),
    ),
    (
        "As Burnline counts them, from spans of any instrumentation",
        (
            Panel(
                "Calls a second",
                "By service, provider and model.",
                "reqps",
                (
                    Query(
                        f"sum by (service, provider, model) (rate(burnline_llm_requests_total{{B}}{RATE}))",
                        "{{service}} {{provider}} {{model}}",
                    ),
                ),
            ),
            Panel(
                "Errors by type",
                "",
                "reqps",
                (
                    Query(
                        f"sum by (model, error_type) (rate(burnline_llm_errors_total{{B}}{RATE}))",
                        "{{model}} {{error_type}}",
                    ),
                ),
            ),
            Panel(
                "Latency by model",
                "",
                "s",
                quantiles(
                    "burnline_llm_request_duration_seconds", "model", (0.5, 0.95), where="{B}"
                ),
            ),
            Panel(
                "Time to first token by model",
                "",
                "s",
                quantiles(
                    "burnline_llm_time_to_first_token_seconds", "model", (0.5, 0.95), where="{B}"
                ),
            ),
            Panel(
                "Tokens a second by type",
                "",
                "short",
                (
                    Query(
                        f"sum by (type) (rate(burnline_llm_tokens_total{{B}}{RATE}))",
                        "{{type}}",
                    ),
                ),
            ),
            Panel(
                "Cost an hour by service",
                "At the present rate; priced in the flow where a span has no cost.",
                "currencyUSD",
                (
                    Query(
                        f"3600 * sum by (service) (rate(burnline_llm_cost_dollars_total{{B}}{RATE}))",
                        "{{service}}",
                    ),
                ),
            ),
        ),
    ),
)


def _others(panel: Panel) -> Panel:
    """`{A}` selects processes, and `{B}` services and models as Burnline labels them."""
    return panel._replace(
        queries=tuple(
            query._replace(
                promql=query.promql.replace("{A}", '{job=~"$job"}').replace(
                    "{B}", f"{{{_BY_MODEL}}}"
                )
            )
            for query in panel.queries
        )
    )


PAGE = Page(
    uid="burnline-llm",
    title="Burnline: LLM calls",
    text="Requests, latency, tokens, dollars and errors of LLM applications; points lead to traces.",
    choices=(
        Choice("job", "label_values(llm_requests_total, job)", "application"),
        Choice("model", 'label_values(llm_requests_total{job=~"$job"}, model)'),
        Choice("service", "label_values(burnline_llm_requests_total, service)"),
    ),
    selector='job=~"$job", model=~"$model"',
    glance=tuple(map(_others, GLANCE)),
    rows=tuple((title, tuple(map(_others, panels))) for title, panels in ROWS),
)
