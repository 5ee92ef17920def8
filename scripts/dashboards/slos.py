"""Service levels: budgets, burn rates, and who burns them."""

from scripts.dashboards._page import RATE, Choice, Page, Panel, Query

GLANCE = (
    Panel(
        "Budget left, least",
        "Of the SLO that has least.",
        "percentunit",
        (Query("min(slo:period_error_budget_remaining:ratio{E})"),),
        (0.2, 0.5),
        ("red", "orange", "green"),
    ),
    Panel(
        "Burn rate (5 min), most",
        "1 uses the budget up exactly at the end of the period.",
        "short",
        (Query("max(slo:current_burn_rate:ratio{E})"),),
        (1, 6),
    ),
    Panel(
        "Firing",
        "Alerts of service levels.",
        "short",
        (Query('count(ALERTS{E, alertstate="firing"}) or vector(0)'),),
        (1,),
    ),
    Panel(
        "Frozen",
        "SLOs whose source is silent: their alerts neither fire nor end.",
        "short",
        (Query("sum(burnline_slo_frozen{E})"),),
        (1,),
        ("green", "orange"),
    ),
)
ROWS = (
    (
        "Each SLO",
        (
            Panel(
                "Objectives",
                "The whole period's budget left, and how fast it burns.",
                "percentunit",
                tuple(
                    Query(f"max by (sloth_service, sloth_slo) ({series}{{E}})", title)
                    for series, title in (
                        ("slo:objective:ratio", "objective"),
                        ("slo:period_error_budget_remaining:ratio", "budget left"),
                        ("slo:current_burn_rate:ratio", "burn rate, 5 min"),
                        ("slo:period_burn_rate:ratio", "burn rate, period"),
                    )
                ),
                kind="table",
                width=12,
            ),
            Panel(
                "Error budget left",
                "Negative when overdrawn.",
                "percentunit",
                (
                    Query(
                        "slo:period_error_budget_remaining:ratio{E}",
                        "{{sloth_service}} {{sloth_slo}}",
                    ),
                ),
                width=12,
                least=None,
            ),
        ),
    ),
    (
        "Burning",
        (
            Panel(
                "Burn rate, 5 min",
                "",
                "short",
                (Query("slo:current_burn_rate:ratio{E}", "{{sloth_service}} {{sloth_slo}}"),),
            ),
            Panel(
                "Error ratio, 1 h",
                "",
                "percentunit",
                (Query("slo:sli_error:ratio_rate1h{E}", "{{sloth_service}} {{sloth_slo}}"),),
            ),
            Panel(
                "Events a second",
                "",
                "cps",
                (
                    Query(
                        "sum by (sloth_service, sloth_slo, result)"
                        f" (rate(burnline_slo_events_total{{E}}{RATE}))",
                        "{{sloth_service}} {{sloth_slo}} {{result}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "By group, of SLOs with `by`",
        (
            Panel(
                "Budget left by group",
                "The ten that have least.",
                "percentunit",
                (
                    Query(
                        "bottomk(10, burnline_slo_error_budget_remaining_ratio{E})",
                        "{{sloth_slo}} {{gen_ai_request_model}} {{tenant_id}}",
                    ),
                ),
                width=12,
                least=None,
            ),
            Panel(
                "Error ratio by group, 5 min",
                "The ten that have most.",
                "percentunit",
                (
                    Query(
                        'topk(10, burnline_slo_error_ratio{E, window="5m"})',
                        "{{sloth_slo}} {{gen_ai_request_model}} {{tenant_id}}",
                    ),
                ),
                width=12,
            ),
        ),
    ),
)
PAGE = Page(
    uid="burnline-slos",
    title="Burnline: service levels",
    text="Error budgets and burn rates of every SLO, and the groups that burn them.",
    choices=(
        Choice("service", "label_values(sloth_slo_info, sloth_service)"),
        Choice("slo", 'label_values(sloth_slo_info{sloth_service=~"$service"}, sloth_slo)', "SLO"),
    ),
    selector='sloth_service=~"$service", sloth_slo=~"$slo"',
    glance=GLANCE,
    rows=ROWS,
)
