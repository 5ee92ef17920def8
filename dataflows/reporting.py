"""A backtest's report as JSON and as text for people."""

from datetime import UTC, datetime
from math import isfinite
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataflows.backtest import Report, Spending
from slo.anomalies.decision import Incident, Member
from slo.anomalies.rendering import rarity, render_incident
from slo.decision import Alert, SliceCount
from slo.durations import format_duration
from slo.model import Objective
from slo.rendering import dollars, period_name

Json = dict[str, Any]


def rfc3339(seconds: float | None) -> str | None:
    """A moment in UTC to the millisecond.

    >>> rfc3339(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(report: Report, objectives: dict[str, Objective]) -> Json:
    """The report as one object; `alerts` and `objectives` as the documentation lists them."""
    return {
        "alerts": [_alert(alert, objectives) for alert in report.alerts],
        "objectives": [
            {
                "slo": objectives[o.key.objective].name,
                "service": objectives[o.key.objective].service,
                "group": _group(o.key.group, objectives[o.key.objective]),
                "total": o.total,
                "bad": o.bad,
                "sli": o.sli,
                "budget_remaining": o.budget_remaining,
            }
            for o in report.outcomes
        ],
        "budget_events": [
            {
                "slo": objectives[alert.series.objective].name,
                "service": objectives[alert.series.objective].service,
                "group": _group(alert.series.group, objectives[alert.series.objective]),
                "consumed": alert.consumed,
                "starts_at": rfc3339(alert.starts_at),
                "ends_at": rfc3339(alert.ends_at),
                "budget_remaining": alert.budget_remaining,
            }
            for alert in report.budget_events
        ],
        "absences": [_absence(alert, objectives) for alert in report.absences],
        "budgets": [_spending(one, objectives[one.key.objective]) for one in report.budgets],
        "cost_alerts": [_cost_alert(alert, objectives) for alert in report.cost_alerts],
        "incidents": [_incident(i, report, objectives) for i in report.incidents],
        "requests": report.requests,
        "refused": len(report.refused),
        "apart": report.apart,
        "from": rfc3339(report.first) if report.requests else None,
        "to": rfc3339(report.last) if report.requests else None,
    }


def _group(values: tuple[str, ...] | None, objective: Objective) -> dict[str, str]:
    return dict(zip(objective.by_names, values or (), strict=False))


def _alert(alert: Alert, objectives: dict[str, Objective]) -> Json:
    objective = objectives[alert.series.objective]
    return {
        "slo": objective.name,
        "service": objective.service,
        "severity": alert.severity,
        "group": _group(alert.series.group, objective),
        "starts_at": rfc3339(alert.starts_at),
        "ends_at": rfc3339(alert.ends_at),
        "short": format_duration(alert.short),
        "long": format_duration(alert.long),
        "burn_short": alert.burn_short,
        "burn_long": alert.burn_long,
        "factor": alert.factor,
        "budget_remaining": alert.budget_remaining,
        "slices": [_slice(found) for found in alert.slices],
        "errors": dict(alert.errors),
        "trace_ids": list(alert.trace_ids),
    }


def _spending(spending: Spending, objective: Objective) -> Json:
    return {
        "budget": objective.name,
        "service": objective.service,
        "group": _group(spending.key.group, objective),
        "period": period_name(objective),
        "dollars": spending.budget / 1e9 if spending.budget >= 0 else None,
        "spent": spending.spent / 1e9,
        "calls": spending.calls,
        "unpriced": spending.unpriced,
        "refused": spending.refused,
        "forecast": None if spending.forecast is None else spending.forecast / 1e9,
    }


def _cost_alert(alert: Alert, objectives: dict[str, Objective]) -> Json:
    objective = objectives[alert.series.objective]
    spent = alert.spent
    return {
        "budget": objective.name,
        "service": objective.service,
        "kind": alert.kind,
        "severity": alert.severity,
        "group": _group(alert.series.group, objective),
        "consumed": alert.consumed,
        "starts_at": rfc3339(alert.starts_at),
        "ends_at": rfc3339(alert.ends_at),
        "short": format_duration(alert.short) if alert.short else None,
        "long": format_duration(alert.long) if alert.long else None,
        "burn_short": alert.burn_short,
        "burn_long": alert.burn_long,
        "dollars": spent.budget / 1e9 if spent else None,
        "spent": spent.spent / 1e9 if spent else None,
        "period_start": rfc3339(spent.since) if spent and spent.since else None,
    }


def _absence(alert: Alert, objectives: dict[str, Objective]) -> Json:
    objective = objectives[alert.series.objective]
    silence = alert.silence
    return {
        "slo": objective.name,
        "service": objective.service,
        "severity": alert.severity,
        "absent_since": rfc3339(silence.since if silence else None),
        "starts_at": rfc3339(alert.starts_at),
        "ends_at": rfc3339(alert.ends_at),
    }


def _incident(incident: Incident, report: Report, objectives: dict[str, Objective]) -> Json:
    burns = report.burns_in(incident, _services(objectives))
    return {
        "service": incident.service,
        "severity": incident.severity,
        "monitor": incident.monitor,
        "starts_at": rfc3339(incident.starts_at),
        "ends_at": rfc3339(incident.ends_at),
        "first_cause": _member(incident.cause),
        "members": [_member(member) for member in incident.members],
        "count": incident.count,
        "trace_ids": list(incident.trace_ids),
        "burning": burns and burns.series.objective,
        "page_at": burns and rfc3339(max(burns.starts_at, incident.starts_at)),
    }


def _member(member: Member) -> Json:
    reading = member.strangest
    figures = {
        name: getattr(reading, name)
        for name in ("value", "expected", "lower", "upper", "probability")
    }
    return {
        "monitor": member.key.entity.monitor,
        "feature": member.key.feature,
        "group": dict(member.group),
        "unit": member.unit,
        "since": rfc3339(member.since - member.every),
        "at": rfc3339(reading.at),
        **{name: figure if isfinite(figure) else None for name, figure in figures.items()},
        "unusual": rarity(reading.probability, member.every),
        "taken_for_normal": member.stays,
    }


def _services(objectives: dict[str, Objective]) -> dict[str, str]:
    return {id_: objective.service for id_, objective in objectives.items()}


def _slice(found: SliceCount) -> Json:
    return {
        "values": dict(found.values),
        "bad": found.bad,
        "total": found.total,
        "lift": found.lift,
    }


def print_report(report: Report, objectives: dict[str, Objective], console: Console) -> None:
    """Print alerts, a few lines each, and a table of the objectives."""
    if report.requests:
        console.print(
            f"{report.requests:,} requests from {_moment(report.first)} to {_moment(report.last)}"
        )
    else:
        console.print("no telemetry in these files")
    for signal, reason in report.refused:
        text = Text.assemble(("not decoded", "yellow"), f": a {signal} request: {reason}")
        console.print(text, highlight=False)
    for reason, count in report.apart.items():
        console.print(f"[yellow]counted apart[/]: {count:,} ({reason})")
    for slo, metric, edge in report.edges:
        told = f"{slo}: {metric} has no bucket edge at the bound; {edge:g} was used"
        console.print(told, style="yellow", markup=False, soft_wrap=True)
    _print_alerts(report, objectives, console)
    for alert in report.budget_events:
        objective = objectives[alert.series.objective]
        console.print(
            f"budget  {_name(alert, objective)}: {alert.consumed:.0%} used at"
            f" {_moment(alert.starts_at)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print()
    if report.outcomes or not report.budgets:
        console.print(_objective_table(report, objectives))
    if report.budgets:
        console.print(_budget_table(report, objectives))


def _print_alerts(report: Report, objectives: dict[str, Objective], console: Console) -> None:
    silent = not (report.alerts or report.absences or report.incidents or report.cost_alerts)
    console.print("\n[bold]No alerts[/]" if silent else "\n[bold]Alerts[/]")
    for alert in report.alerts:
        console.print(_alert_text(alert, objectives[alert.series.objective]), soft_wrap=True)
    for alert in report.absences:
        console.print(_absence_text(alert, objectives[alert.series.objective]), soft_wrap=True)
    for alert in report.cost_alerts:
        console.print(_cost_text(alert, objectives[alert.series.objective]), soft_wrap=True)
    for incident in report.incidents:
        console.print(_incident_text(incident, report, objectives), soft_wrap=True)


def _cost_text(alert: Alert, objective: Objective) -> Text:
    spent = alert.spent
    if alert.kind == "spent":
        said = f"{(alert.consumed or 0) * 100:g} % of the budget is spent"
    else:
        said = (
            f"{format_duration(alert.short)}/{format_duration(alert.long)} spent at"
            f" {alert.burn_short:.1f}/{alert.burn_long:.1f}, limit {alert.factor:.4g}"
        )
    if spent is not None:
        said += f": {dollars(spent.spent)} of {dollars(spent.budget)}"
    return _marked(alert, [_lasted(alert, objective), said])


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _budget_table(report: Report, objectives: dict[str, Objective]) -> Table:
    table = _table("Cost budgets")
    table.add_column("budget", overflow="fold")
    for column in ("calls", "no price", "spent", "budget", "a", "forecast"):
        table.add_column(column, justify="right", no_wrap=True)
    for spending in report.budgets:
        objective = objectives[spending.key.objective]
        table.add_row(
            Text("\n".join((objective.id, *_parts(_group(spending.key.group, objective))))),
            f"{spending.calls:,}",
            f"{spending.unpriced + spending.refused:,}",
            dollars(spending.spent),
            dollars(spending.budget) if spending.budget >= 0 else "none",
            period_name(objective),
            "-" if spending.forecast is None else dollars(round(spending.forecast)),
        )
    return table


def _absence_text(alert: Alert, objective: Objective) -> Text:
    since = f"no traffic since {_moment(alert.silence.since)}" if alert.silence else "no traffic"
    return _marked(alert, [_lasted(alert, objective), since])


def _incident_text(incident: Incident, report: Report, objectives: dict[str, Objective]) -> Text:
    cause = incident.cause
    summary = render_incident(incident).annotations["summary"]
    more = incident.count - 1
    lines = [
        f"{summary}: {_until(incident.starts_at, incident.ends_at)}",
        f"{rarity(cause.strangest.probability, cause.every)} at this rate"
        + (f"; {more} more series with it" if more else ""),
    ]
    burns = report.burns_in(incident, _services(objectives))
    if burns is not None and incident.severity != "page":
        since = _moment(max(burns.starts_at, incident.starts_at))
        lines.append(f"a page from {since}, as {burns.series.objective} burns")
    if any(member.stays for member in incident.members):
        lines.append("ended as the new level was taken for normal")
    return _marked(incident, lines)


def _alert_text(alert: Alert, objective: Objective) -> Text:
    lines = [
        _lasted(alert, objective),
        (
            f"{format_duration(alert.short)}/{format_duration(alert.long)} burned at"
            f" {alert.burn_short:.1f}/{alert.burn_long:.1f}, limit {alert.factor:.4g};"
            f" budget left {alert.budget_remaining:.1%}"
        ),
    ]
    if alert.slices:
        lines.append(f"burning: {slice_text(alert.slices[0])}")
    return _marked(alert, lines)


def _lasted(alert: Alert, objective: Objective) -> str:
    return f"{_name(alert, objective)}: {_until(alert.starts_at, alert.ends_at)}"


def _until(starts_at: float, ends_at: float | None) -> str:
    until = "still firing" if ends_at is None else f"to {_moment(ends_at)}"
    return f"{_moment(starts_at)} {until}"


def _marked(alert: Alert | Incident, lines: list[str]) -> Text:
    style = "bold red" if alert.severity == "page" else "bold yellow"
    indent = "\n        "
    return Text.assemble((f"{alert.severity:<8}", style), indent.join(lines))


def _name(alert: Alert, objective: Objective) -> str:
    group = _text(_group(alert.series.group, objective))
    return f"{objective.id} [{group}]" if group else objective.id


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _objective_table(report: Report, objectives: dict[str, Objective]) -> Table:
    table = _table("Objectives")
    # SLO and group share a column, a line each: apart both would be cut to pieces at 80 characters.
    table.add_column("SLO", overflow="fold")
    for column in ("events", "bad", "SLI", "objective", "budget\nleft"):
        table.add_column(column, justify="right", no_wrap=True)
    for outcome in report.outcomes:
        objective = objectives[outcome.key.objective]
        table.add_row(
            Text("\n".join((objective.id, *_parts(_group(outcome.key.group, objective))))),
            f"{outcome.total:,}",
            f"{outcome.bad:,}",
            "no traffic" if outcome.sli is None else f"{outcome.sli:.4%}",
            f"{float(objective.target * 100):g} %",
            f"{outcome.budget_remaining:.1%}",
        )
    return table


def slice_text(found: SliceCount) -> str:
    """A slice in a line: its values, counts and lift."""
    return (
        f"{_text(dict(found.values))} ({found.bad:,} bad of {found.total:,}, lift {found.lift:.1f})"
    )


def _text(values: dict[str, str]) -> str:
    return " ".join(_parts(values))


def _parts(values: dict[str, str]) -> list[str]:
    return [f"{name}={value or '(none)'}" for name, value in values.items()]
