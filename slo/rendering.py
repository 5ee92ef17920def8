"""Alerts as labels and annotations: what Alertmanager, `ALERTS` and a person read.

Labels are an alert's identity and never change while it fires; whatever changes is an annotation.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from slo.decision import Alert, Silence, SliceCount
from slo.durations import format_duration
from slo.model import CalendarWindow, Objective

Labels = dict[str, str]

_SLOTH = ("id", "service", "slo", "severity", "window", "version", "mode", "spec", "objective")
# Names that Burnline gives a meaning on its series or alerts: a group's label never takes one.
RESERVED = frozenset(
    {"alertname", "alertstate", "severity", "consumed", "window", "result"}
    | {f"sloth_{name}" for name in _SLOTH}
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Rendered:
    """An alert in Alertmanager's terms; `labels` are its identity."""

    labels: Labels
    annotations: Labels


def sloth_labels(objective: Objective) -> Labels:
    """The labels by which Sloth's dashboards find an SLO."""
    return {
        "sloth_id": objective.id,
        "sloth_service": objective.service,
        "sloth_slo": objective.name,
    }


def budget_labels(objective: Objective) -> Labels:
    """The labels of a cost budget; what Sloth's dashboards look for is not among them."""
    return {
        "burnline_id": objective.id,
        "service": objective.service,
        "budget": objective.name,
        "period": period_name(objective),
    }


def period_name(objective: Objective) -> str:
    """`month`, or `24h` for a rolling period."""
    window = objective.window
    if isinstance(window, CalendarWindow):
        return window.unit
    return format_duration(window.seconds)


def user_labels(objective: Objective) -> Labels:
    """The user's labels for series: all but a chosen alert name."""
    return {name: value for name, value in objective.labels.items() if name != "alertname"}


def group_label_names(objective: Objective) -> tuple[str, ...]:
    """A label name for each field of `by`: distinct, and none that has a meaning already.

    A reserved name becomes `group_NAME`; a name that two fields share gets a number.
    """
    names: list[str] = []
    for wanted in objective.group_labels:
        base = f"group_{wanted}" if wanted in RESERVED else wanted
        name, number = base, 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return tuple(names)


def group_labels(objective: Objective, group: tuple[str, ...] | None) -> Labels:
    """The labels of a group; empty values are left out, as an empty label is none."""
    names = group_label_names(objective)
    return {name: value for name, value in zip(names, group or (), strict=False) if value}


def alert_name(objective: Objective, alert: Alert) -> str:
    """The user's `alertname`, or one made of service and SLO; of missing traffic with `Absent` behind.

    >>> camel_case("chat-api availability")
    'ChatApiAvailability'
    """
    chosen = objective.labels.get("alertname")
    if alert.severity != "info":
        chosen = objective.alert_labels.get(alert.severity, {}).get("alertname", chosen)
    made = camel_case(f"{objective.service} {objective.name}")
    if alert.kind == "absent":
        # Under the bare chosen name it would be the same alert as a burn of the same severity.
        return f"{chosen or made}Absent"
    if objective.spend:
        return chosen or f"{made}{'CostBudget' if alert.kind == 'spent' else 'CostBurnRate'}"
    return chosen or f"{made}{'ErrorBudget' if alert.kind == 'budget' else 'BurnRate'}"


def camel_case(text: str) -> str:
    """Words run together, each with a capital."""
    return "".join(word[:1].upper() + word[1:] for word in _WORD.findall(text))


def alert_labels(alert: Alert, objective: Objective) -> Labels:
    """The labels of an alert, the user's among them; Burnline's own win where names clash."""
    labels = dict(objective.labels)
    if alert.severity != "info":
        labels |= objective.alert_labels.get(alert.severity, {})
    labels |= group_labels(objective, alert.series.group)
    labels |= budget_labels(objective) if objective.spend else sloth_labels(objective)
    labels |= {"alertname": alert_name(objective, alert), "severity": alert.severity}
    if alert.severity != "info" and not objective.spend:
        labels["sloth_severity"] = alert.severity
    if alert.spent is not None:
        # Of another period it is another alert, so that each is told of by itself.
        labels["period_start"] = _day(alert.spent.since, objective) if alert.spent.since else ""
        if alert.consumed is not None:
            labels["consumed"] = f"{alert.consumed * 100:g}%"
    elif alert.consumed is not None:
        labels["consumed"] = f"{alert.consumed:.0%}"
    return {name: value for name, value in labels.items() if value}


def render(alert: Alert, objective: Objective) -> Rendered:
    """An alert's labels and annotations; the user's annotations win where names clash."""
    annotations = _TEXTS[alert.kind](alert, objective)
    annotations |= {
        "budget_remaining": _percent(alert.budget_remaining),
        "slice": "; ".join((_spender if objective.spend else _slice)(s) for s in alert.slices),
        "errors": ", ".join(f"{kind} ({count})" for kind, count in alert.errors),
        "trace_ids": ", ".join(alert.trace_ids),
    }
    annotations |= objective.annotations
    if alert.severity != "info":
        annotations |= objective.alert_annotations.get(alert.severity, {})
    return Rendered(
        alert_labels(alert, objective),
        {name: text for name, text in annotations.items() if text},
    )


def _burn(alert: Alert, objective: Objective) -> Labels:
    short, long = format_duration(alert.short), format_duration(alert.long)
    left = _percent(alert.budget_remaining)
    who = _who(alert, objective)
    rates = f"{alert.burn_short:.3g} times too fast over {short} and {alert.burn_long:.3g} times"
    lines = [
        f"{who} burns its error budget {rates} over {long} (the limit is {alert.factor:.4g}).",
        f"{_promise(objective)} {left} of the budget is left{_until(alert)}.",
    ]
    if alert.slices:
        lines.append(f"Burning most: {_slice(alert.slices[0])}.")
    return {
        "summary": f"{who} burns its error budget {alert.burn_long:.3g} times too fast",
        "description": "\n".join(lines),
        "windows": f"{short}, {long}",
        "burn_short": f"{alert.burn_short:.4g}",
        "burn_long": f"{alert.burn_long:.4g}",
        "burn_limit": f"{alert.factor:.4g}",
        "exhausted_in": "" if alert.exhausted_in is None else span(alert.exhausted_in),
    }


def _budget(alert: Alert, objective: Objective) -> Labels:
    who = _who(alert, objective)
    level, left = f"{alert.consumed or 0:.0%}", _percent(alert.budget_remaining)
    return {
        "summary": f"{who} has used {level} of its error budget",
        "description": f"{_promise(objective)} {left} of the budget is left{_until(alert)}.",
        "exhausted_in": "" if alert.exhausted_in is None else span(alert.exhausted_in),
    }


def _absent(alert: Alert, objective: Objective) -> Labels:
    silence = alert.silence or Silence(alert.starts_at, 0.0, 0.0)
    who = _who(alert, objective)
    # Whole minutes: a figure that changes every second says no more.
    lasted = span(max(60.0, silence.seconds // 60 * 60))
    last = "No event has come since it is watched."
    if silence.last:
        last = f"The last event was counted at {moment(silence.last)}."
    return {
        "summary": f"{who} has had no traffic for {lasted}",
        "description": f"{last}\nCheck that the service runs and is called, that its telemetry reaches "
        "Burnline (exporter, Collector, refused payloads), and that the SLO's selectors still fit it.",
        "absent_since": moment(silence.since),
    }


def _overspend(alert: Alert, objective: Objective) -> Labels:
    who = _who(alert, objective)
    short, long = format_duration(alert.short), format_duration(alert.long)
    rates = f"{alert.burn_short:.3g} times too fast over {short} and {alert.burn_long:.3g} times"
    lines = [
        f"{who} spends its budget {rates} over {long} (the limit is {alert.factor:.4g}).",
        *_money(alert, objective),
    ]
    return {
        "summary": f"{who} spends its budget {alert.burn_long:.3g} times too fast",
        "description": "\n".join(lines),
        "windows": f"{short}, {long}",
        "burn_short": f"{alert.burn_short:.4g}",
        "burn_long": f"{alert.burn_long:.4g}",
        "burn_limit": f"{alert.factor:.4g}",
        **_figures(alert),
    }


def _spent(alert: Alert, objective: Objective) -> Labels:
    who = _who(alert, objective)
    return {
        "summary": f"{who} has spent {(alert.consumed or 0) * 100:g} % of its budget",
        "description": "\n".join(_money(alert, objective)),
        **_figures(alert),
    }


def _money(alert: Alert, objective: Objective) -> list[str]:
    """Sentences about what was spent, what will be, and on what."""
    spent = alert.spent
    if spent is None:
        return []
    budget = f"{dollars(spent.budget)} a {period_name(objective)}"
    share = _percent(1 - alert.budget_remaining)
    lines = [f"{dollars(spent.spent)} of {budget} are spent ({share}), by {spent.calls} calls."]
    if spent.forecast is not None:
        lines.append(f"By {moment(spent.until)} it will be {dollars(spent.forecast)} at this rate.")
    if alert.budget_remaining > 0 and alert.exhausted_in is not None:
        lines.append(f"At this rate it is gone in {span(alert.exhausted_in)}.")
    if alert.slices:
        lines.append(f"Most was spent on {_spender(alert.slices[0])}.")
    if spent.unpriced or spent.refused:
        lines.append(
            f"Not in these sums: {spent.unpriced} calls without a price, {spent.refused} with a cost that"
            " cannot be true."
        )
    return lines


def _figures(alert: Alert) -> Labels:
    spent = alert.spent
    if spent is None:
        return {}
    return {
        "spent": dollars(spent.spent),
        "budget": dollars(spent.budget),
        "spent_ratio": _percent(1 - alert.budget_remaining),
        "forecast": "" if spent.forecast is None else dollars(spent.forecast),
        "period_end": moment(spent.until) if spent.until else "",
        "unpriced_calls": str(spent.unpriced) if spent.unpriced else "",
        "refused_calls": str(spent.refused) if spent.refused else "",
        "exhausted_in": "" if alert.exhausted_in is None else span(alert.exhausted_in),
    }


def dollars(nanodollars: int) -> str:
    """Money for people: cents, and more digits where it is little.

    >>> [dollars(n) for n in (1_234_500_000_000, 1_250_000, 0, -2_000_000_000)]
    ['$1,234.50', '$0.00125', '$0.00', '-$2.00']
    """
    sign, amount = ("-" if nanodollars < 0 else ""), abs(nanodollars) / 1e9
    if 0 < amount < 0.1:
        return f"{sign}${amount:.3g}"
    return f"{sign}${amount:,.2f}"


def _spender(found: SliceCount) -> str:
    values = " and ".join(f"{name}={value}" for name, value in found.values)
    return f"{values}: {dollars(found.bad)} ({_percent(found.lift)}) in {found.total} calls"


def _day(seconds: int, objective: Objective) -> str:
    """The start of a period as its zone writes it.

    Of an hour with the time and the offset, as one may come twice.
    """
    window = objective.window
    if not isinstance(window, CalendarWindow):
        return ""
    local = datetime.fromtimestamp(seconds, ZoneInfo(window.time_zone))
    return local.strftime("%Y-%m-%dT%H:%M%z" if window.unit == "hour" else "%Y-%m-%d")


_TEXTS = {
    "burn": _burn,
    "budget": _budget,
    "absent": _absent,
    "overspend": _overspend,
    "spent": _spent,
}


def moment(seconds: float) -> str:
    """A moment for people, in UTC.

    >>> moment(1_700_000_000.9)
    '2023-11-14 22:13:20 UTC'
    """
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _who(alert: Alert, objective: Objective) -> str:
    group = ", ".join(
        f"{name}={value}"
        for name, value in zip(objective.by_names, alert.series.group or (), strict=False)
        if value
    )
    who = f"{objective.service} {objective.name}"
    return f"{who} ({group})" if group else who


def _promise(objective: Objective) -> str:
    return f"Objective {percentage(objective)} % over {format_duration(objective.period)};"


def _until(alert: Alert) -> str:
    if alert.budget_remaining <= 0:
        return ", it is gone"
    if alert.exhausted_in is None:
        return ""
    return f", at this rate for {span(alert.exhausted_in)}"


def _slice(found: SliceCount) -> str:
    values = " and ".join(f"{name}={value}" for name, value in found.values)
    return f"{values}: {found.bad} of {found.total} bad, lift {found.lift:.3g}"


def percentage(objective: Objective) -> str:
    """The objective in percent, as Sloth writes it: `99.9`."""
    text = repr(float(objective.target * 100))
    return text.removesuffix(".0")


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.4g} %" if abs(ratio) < 100 else f"{ratio * 100:.0f} %"


def span(seconds: float) -> str:
    """A length of time for people, in its two largest units.

    >>> [span(s) for s in (0.4, 90, 7980, 2.5 * 86400)]
    ['0 s', '1 min 30 s', '2 h 13 min', '2 d 12 h']
    """
    rest = round(seconds)
    parts: list[str] = []
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, unit)
        if count and len(parts) < 2:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts) or "0 s"
