"""Dollars: by tenant and model, and the budgets for them."""

from scripts.dashboards._page import RATE, Choice, Page, Panel, Query

# What Burnline counts has the service; a budget may be for more than tenants, so its own labels choose it.
_CALLS = '{service=~"$service", tenant=~"$tenant"}'
_NAMED = "{{service}} {{budget}} {{tenant_id}}"
GLANCE = (
    Panel(
        "Cost an hour",
        "Of the last hour's calls.",
        "currencyUSD",
        (Query(f"sum(increase(burnline_llm_cost_dollars_total{_CALLS}[1h]))"),),
    ),
    Panel(
        "Cost, 24 h",
        "",
        "currencyUSD",
        (Query(f"sum(increase(burnline_llm_cost_dollars_total{_CALLS}[24h]))"),),
    ),
    Panel(
        "Cents a call",
        "Of calls of any outcome.",
        "short",
        (
            Query(
                f"100 * sum(rate(burnline_llm_cost_dollars_total{_CALLS}{RATE}))"
                f" / sum(rate(burnline_llm_requests_total{_CALLS}{RATE}))"
            ),
        ),
        decimals=3,
    ),
    Panel(
        "Unpriced calls, 1 h",
        "Their cost is unknown, not zero.",
        "short",
        (
            Query(
                'sum(increase(burnline_llm_unpriced_total{service=~"$service"}[1h])) or vector(0)'
            ),
        ),
        (1,),
        ("green", "orange"),
    ),
    Panel(
        "Cost budget left, least",
        "",
        "percentunit",
        (Query("min(burnline_cost_budget_remaining_ratio{E})"),),
        (0.05, 0.2),
        ("red", "orange", "green"),
    ),
)
ROWS = (
    (
        "Who spends",
        (
            Panel(
                "Cost an hour by tenant",
                "At the present rate; the ten dearest.",
                "currencyUSD",
                (
                    Query(
                        "topk(10, 3600 * sum by (tenant)"
                        f" (rate(burnline_llm_cost_dollars_total{_CALLS}{RATE})))",
                        "{{tenant}}",
                    ),
                ),
            ),
            Panel(
                "Cost an hour by model",
                "At the present rate.",
                "currencyUSD",
                (
                    Query(
                        "3600 * sum by (provider, model)"
                        f" (rate(burnline_llm_cost_dollars_total{_CALLS}{RATE}))",
                        "{{provider}} {{model}}",
                    ),
                ),
            ),
            Panel(
                "Tenants, 24 h",
                "Dollars, calls and tokens of the last day.",
                "short",
                (
                    Query(
                        f"sum by (tenant) (increase(burnline_llm_cost_dollars_total{_CALLS}[24h]))",
                        "dollars",
                    ),
                    Query(
                        f"sum by (tenant) (increase(burnline_llm_requests_total{_CALLS}[24h]))",
                        "calls",
                    ),
                    Query(
                        "sum by (tenant) (increase(burnline_llm_tokens_total"
                        '{service=~"$service", tenant=~"$tenant", type=~"input|output"}[24h]))',
                        "tokens",
                    ),
                ),
                kind="table",
            ),
            Panel(
                "As the application counts it, by tenant",
                "Dollars an hour at the present rate, from burnline-llm's own /metrics.",
                "currencyUSD",
                (
                    Query(
                        "topk(10, 3600 * sum by (tenant)"
                        f' (rate(llm_tenant_cost_dollars_total{{tenant=~"$tenant"}}{RATE})))',
                        "{{tenant}}",
                    ),
                ),
            ),
            Panel(
                "Calls without a price",
                "By reason.",
                "reqps",
                (
                    Query(
                        "sum by (service, model, reason)"
                        f' (rate(burnline_llm_unpriced_total{{service=~"$service"}}{RATE}))',
                        "{{service}} {{model}} {{reason}}",
                    ),
                ),
            ),
            Panel(
                "Price table",
                "By which calls without a cost of their own are priced.",
                "short",
                (Query("count by (version) (burnline_price_table_info)", "{{version}}"),),
            ),
        ),
    ),
    (
        "Budgets",
        (
            Panel(
                "Budgets",
                "Spent in the present period, and what it will be at its end.",
                "currencyUSD",
                tuple(
                    Query(f"max by (service, budget, period, tenant_id) ({series}{{E}})", title)
                    for series, title in (
                        ("burnline_cost_budget_dollars", "budget"),
                        ("burnline_cost_spent_dollars", "spent"),
                        ("burnline_cost_forecast_dollars", "forecast"),
                    )
                ),
                kind="table",
                width=12,
            ),
            Panel(
                "Budget left",
                "Negative when overdrawn.",
                "percentunit",
                (Query("burnline_cost_budget_remaining_ratio{E}", _NAMED),),
                width=12,
                least=None,
            ),
            Panel(
                "Burn rate",
                "1 spends the budget exactly by the end of the period.",
                "short",
                (Query("burnline_cost_burn_rate{E}", f"{_NAMED} {{{{window}}}}"),),
                width=12,
            ),
            Panel(
                "Spent, and forecast for the period's end",
                "",
                "currencyUSD",
                (
                    Query("burnline_cost_spent_dollars{E}", f"spent {_NAMED}"),
                    Query("burnline_cost_forecast_dollars{E}", f"forecast {_NAMED}"),
                ),
                width=12,
            ),
        ),
    ),
)
PAGE = Page(
    uid="burnline-costs",
    title="Burnline: costs and budgets",
    text="Dollars by tenant and model, and how far they are within their budgets.",
    choices=(
        Choice("service", "label_values(burnline_llm_cost_dollars_total, service)"),
        Choice(
            "tenant", 'label_values(burnline_llm_cost_dollars_total{service=~"$service"}, tenant)'
        ),
    ),
    selector='service=~"$service"',
    glance=GLANCE,
    rows=ROWS,
)
