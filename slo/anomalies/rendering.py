"""Incidents as labels and annotations: what Alertmanager, `ALERTS` and a person read.

Labels are an alert's identity and never change while it fires; whatever changes is an annotation.
"""

import math

from slo.anomalies.decision import Incident, Member, Reading
from slo.anomalies.detecting import TOGETHER
from slo.rendering import Labels, Rendered, moment

ALERT_NAME = "BurnlineAnomaly"
# What is rarer than that is said to be: no detector has seen so much.
RAREST_YEARS = 10
_UNITS = (
    (31_557_600.0, "year"),
    (2_629_800.0, "month"),
    (604_800.0, "week"),
    (86_400.0, "day"),
    (3_600.0, "hour"),
    (60.0, "minute"),
    (1.0, "second"),
)


def incident_labels(incident: Incident) -> Labels:
    """The labels of an incident's alert, the user's among them; Burnline's own win, but for `alertname`."""
    labels = {"alertname": ALERT_NAME, **dict(incident.labels)} | {
        "severity": incident.severity,
        "service": incident.service,
        "monitor": incident.monitor,
    }
    return {name: value for name, value in labels.items() if value}


def render_incident(incident: Incident) -> Rendered:
    """An incident's labels and annotations; the user's annotations win where names clash."""
    cause = incident.cause
    reading = cause.strangest
    others = incident.members[1:]
    annotations = {
        "summary": _summary(incident),
        "description": "\n".join(_lines(incident)),
        "first_cause": name(cause),
        "value": quantity(reading.value, cause.unit),
        "expected": quantity(reading.expected, cause.unit),
        "band": _band(reading, cause.unit),
        "unusual": rarity(reading.probability, cause.every),
        "since": moment(cause.since - cause.every),
        "also": "; ".join(_short(member) for member in others),
        "slice": " and ".join(f"{label}={value}" for label, value in cause.group),
        "trace_ids": ", ".join(incident.trace_ids),
        "burning_slo": incident.burning,
    } | dict(incident.annotations)
    return Rendered(
        incident_labels(incident), {key: text for key, text in annotations.items() if text}
    )


def name(member: Member) -> str:
    """A series for people: its feature, and its entity where there are several."""
    group = ", ".join(f"{label}={value}" for label, value in member.group)
    return f"{member.key.feature} ({group})" if group else member.key.feature


def quantity(value: float, unit: str) -> str:
    """A value with its unit; empty where there is none.

    >>> [quantity(v, u) for v, u in ((0.0312, "ratio"), (12_345.6, "USD/s"), (2.0, "1/min"), (3.14159, ""))]
    ['3.12 %', '12,346 USD/s', '2/min', '3.14']
    """
    if not math.isfinite(value):
        return ""
    if unit == "ratio":
        value, unit = value * 100, "%"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if unit.startswith("1/"):
        return text + unit.removeprefix("1")
    return f"{text} {unit}".rstrip()


def rarity(probability: float, every: int) -> str:
    """How often a reading comes that is at least as strange, at one every so many seconds.

    >>> [rarity(p, 60) for p in (1e-5, 1e-2, 0.0)]
    ['about once in 2 months', 'about once in 2 hours', 'less than once in 10 years']
    """
    year = _UNITS[0][0]
    if not probability * RAREST_YEARS * year > every:
        return f"less than once in {RAREST_YEARS} years"
    seconds = every / probability
    for size, unit in _UNITS:
        count = round(seconds / size)
        # "1 month" of 40 days would be far off; "6 weeks" is not.
        if count > 1 or (count == 1 and seconds < 1.25 * size) or unit == "second":
            return f"about once in {count} {unit}s" if count != 1 else f"about once {_a(unit)}"
    raise AssertionError("seconds fit always")


def _a(unit: str) -> str:
    return f"an {unit}" if unit == "hour" else f"a {unit}"


def _summary(incident: Incident) -> str:
    cause = incident.cause
    reading = cause.strangest
    who = f"{incident.service} {name(cause)}"
    value, expected = (quantity(v, cause.unit) for v in (reading.value, reading.expected))
    if not value:
        return f"{who}: {_valueless(cause)}"
    verb = "is" if cause.active and incident.ends_at is None else "was"
    return f"{who} {verb} {value}, {f'expected {expected}' if expected else 'unusual'}"


def _valueless(member: Member) -> str:
    """What is strange where there is no value: that there is none, or features that are judged as one."""
    return "unusual" if member.key.feature == TOGETHER else "no reading, which is unusual"


def _lines(incident: Incident) -> list[str]:
    cause = incident.cause
    reading = cause.strangest
    lines = [_observed(incident.service, cause)]
    rare = rarity(reading.probability, cause.every)
    lines.append(
        f"A reading as strange as that comes {rare}. "
        f"It began in the interval from {moment(cause.since - cause.every)}."
    )
    more = incident.count - 1
    if more:
        named = [_short(member) for member in incident.members[1:]]
        rest = f", and {more - len(named)} more" if more > len(named) else ""
        lines.append(
            f"Unusual with it, {more} more series of the service: {'; '.join(named)}{rest}."
        )
    if incident.burning:
        lines.append(f"The SLO {incident.burning} burns its error budget meanwhile.")
    if incident.ends_at is not None:
        lines += [
            f"{name(member)} stays where it is, and is taken for normal from now on."
            for member in incident.members
            if member.stays
        ]
    return lines


def _observed(service: str, member: Member) -> str:
    reading = member.strangest
    value, expected = (quantity(v, member.unit) for v in (reading.value, reading.expected))
    who = f"{service} {name(member)}"
    if not value:
        return f"{who}: {_valueless(member)} at {moment(reading.at)}."
    parts = [f"expected was {expected}" if expected else "", _usual(reading, member.unit)]
    told = ", ".join(part for part in parts if part)
    return f"{who} was {value} at {moment(reading.at)}{f'; {told}' if told else ''}."


def _usual(reading: Reading, unit: str) -> str:
    band = _band(reading, unit)
    return f"usual is {band}" if band else ""


def _band(reading: Reading, unit: str) -> str:
    lower, upper = quantity(reading.lower, unit), quantity(reading.upper, unit)
    if lower and upper:
        return f"{lower} to {upper}"
    if lower:
        return f"at least {lower}"
    return f"at most {upper}" if upper else ""


def _short(member: Member) -> str:
    value = quantity(member.strangest.value, member.unit)
    expected = quantity(member.strangest.expected, member.unit)
    told = f" {value}" if value else ""
    return f"{name(member)}{told}{f' (expected {expected})' if expected else ''}"
