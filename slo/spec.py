"""The YAML form of SLOs, `apiVersion: burnline/v1`: shape, defaults and JSON Schema.

`slo.compile` turns what these models hold into `slo.model.Objective`s.
"""

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Discriminator, Field, Tag

from slo._fields import (
    Above,
    AbsentAfter,
    Attribute,
    Dollars,
    Evidence,
    Factor,
    Name,
    Off,
    Percent,
    Period,
    Selector,
    Share,
    SliceLength,
    SpanFilter,
    Text,
    TimeZone,
    WarnLevel,
    Window,
)
from slo._forms import FORM, TEXT, AlertForm, AlertOrOff, Annotations, Form, Labels, form_or_text
from slo.anomalies.spec import MonitorForm
from slo.presets.forms import preset_forms

API_VERSION = "burnline/v1"
SCHEMA_ID = "urn:burnline:v1:slos"


class CalendarForm(Form):
    """A window that starts anew with each calendar unit."""

    calendar: Literal["day", "week", "month", "quarter"] = Field(
        description="The unit whose start resets the budget; weeks start on Monday."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="IANA name of the zone whose calendar it is."
    )


class SpansForm(Form):
    """Events from spans, chosen by TraceQL spanset filters."""

    total: SpanFilter = Field(description="Which spans are events.")
    bad: SpanFilter | None = Field(
        default=None, description="Which of these are bad. Either this or good."
    )
    good: SpanFilter | None = Field(
        default=None, description="Which of these are good; the rest is bad."
    )


class MetricsForm(Form):
    """Events from OTLP metrics: two counters, or a histogram split at a bound."""

    total: Selector | None = Field(default=None, description="The counter of all events.")
    bad: Selector | None = Field(default=None, description="The counter of bad events. Or good.")
    good: Selector | None = Field(
        default=None, description="The counter of good events; the rest is bad."
    )
    histogram: Selector | None = Field(
        default=None, description="A histogram instead: every observation is an event."
    )
    above: Above | None = Field(
        default=None,
        description="Observations above it are bad: a number in the metric's unit, or a duration, "
        "for metrics in seconds. Best an edge of the histogram's buckets.",
    )


class SlicesForm(Form):
    """Time slices: each slice of time with traffic is one event."""

    length: SliceLength = Field(
        default="1m", validate_default=True, description="How long a slice is."
    )
    target: Percent = Field(
        description="Percent of a slice's events that must be good for the slice to be good."
    )


class SliForm(Form):
    """What is counted: spans or metrics, perhaps by time slices."""

    spans: SpansForm | None = Field(
        default=None, description="Events from spans. Either this or metrics."
    )
    metrics: MetricsForm | None = Field(default=None, description="Events from metrics.")
    slices: SlicesForm | None = Field(
        default=None, description="Judge slices of time, not single events."
    )


class TierForm(Form):
    """A burn-rate condition; for a default tier any part of it, for one of your own all."""

    severity: Literal["page", "ticket"] | None = Field(
        default=None, description="Which alert it fires."
    )
    short: Window | None = Field(default=None, description="The short window.")
    long: Window | None = Field(default=None, description="The long window.")
    share: Share | None = Field(
        default=None, description="The part of the budget that burns away within the long window."
    )
    factor: Factor | None = Field(
        default=None, description="The burn rate itself, instead of share."
    )


class AbsentForm(Form):
    """An alert where traffic is missing altogether."""

    after: AbsentAfter = Field(description="How long there must have been no event.")
    severity: Literal["page", "ticket"] = Field(default="page", description="Which alert it fires.")


_Absent = Annotated[
    Annotated[AbsentForm, Tag(FORM)] | Annotated[AbsentAfter, Tag(TEXT)],
    Discriminator(form_or_text),
]
_Tier = Annotated[
    Annotated[TierForm, Tag(FORM)] | Annotated[Off, Tag(TEXT)], Discriminator(form_or_text)
]
_Window = Annotated[
    Annotated[CalendarForm, Tag(FORM)] | Annotated[Window, Tag(TEXT)],
    Discriminator(form_or_text),
]


class AlertsForm(Form):
    """Burn-rate alerts of one SLO."""

    name: Text | None = Field(default=None, description="The alertname label of this SLO's alerts.")
    page: AlertOrOff = Field(
        default=AlertForm(), description="Alerts that wake someone; off for none."
    )
    ticket: AlertOrOff = Field(
        default=AlertForm(), description="Alerts for working hours; off for none."
    )
    tiers: dict[Name, _Tier] = Field(
        default={},
        description="Burn-rate conditions by name: page-fast, page-slow, ticket-fast and "
        "ticket-slow can be changed or switched off, others added.",
    )


class _SloParts(Form):
    """What every SLO may have, also one that names a preset."""

    description: Text | None = Field(default=None, description="For people.")
    window: _Window = Field(
        default=30 * 86400,
        description="The budget's period: a rolling window, or a calendar unit.",
        json_schema_extra={"default": "30d"},
    )
    by: list[Text] = Field(
        default=[],
        max_length=8,
        description="One budget for each combination of these: span. or resource. attributes, "
        "or for metrics label names.",
        examples=[["span.gen_ai.request.model"]],
    )
    evidence: Evidence = Field(
        default=0.95,
        description="How sure an alert must be, in percent, that it is no chance result; none "
        "for classic burn-rate alerts.",
        json_schema_extra={"default": 95},
    )
    explain: list[Attribute] | None = Field(
        default=None,
        max_length=12,
        description="Attributes whose values an alert may name as burning; [] for none. Default: "
        "model, provider, operation, error type and tenant.",
    )
    alerts: AlertsForm = Field(default=AlertsForm(), description="Who is told and when.")
    absent: _Absent | None = Field(
        default=None,
        description="Alert when there was no event at all for so long, of any group: a duration "
        "(a page), or after and severity. Default: missing traffic is no reason to alert.",
    )
    labels: Labels = Field(default={}, description="Labels of this SLO's series and alerts.")
    annotations: Annotations = Field(default={}, description="Annotations of this SLO's alerts.")


class SloForm(_SloParts):
    """One service-level objective."""

    name: Name = Field(description="Unique within the service.", examples=["availability"])
    objective: Percent = Field(description="Percent of the events that must be good.")
    sli: SliForm = Field(description="What is counted.")


class PresetForm(_SloParts):
    """A ready-made SLO, by the preset's name; what else is written changes it."""

    preset: Text = Field(description="Which one.")
    scope: SpanFilter | None = Field(
        default=None,
        description="Whose spans are meant. Default: those whose resource.service.name is the "
        "document's service.",
    )
    where: SpanFilter | None = Field(default=None, description="Which of these spans are meant.")
    slices: SlicesForm | None = Field(
        default=None, description="Judge slices of time, not single events."
    )
    name: Name | None = Field(
        default=None, description="Unique within the service. Default: the preset's."
    )
    objective: Percent | None = Field(
        default=None,
        description="Percent of the events that must be good. Default: the preset's.",
    )


PRESET_FORMS = preset_forms(PresetForm)
if TYPE_CHECKING:
    _AnySlo = SloForm
else:
    _AnySlo = Union[SloForm, *PRESET_FORMS.values()]


class BudgetForm(Form):
    """One cost budget."""

    name: Name = Field(description="Unique within the service.", examples=["monthly"])
    description: Text | None = Field(default=None, description="For people.")
    dollars: Dollars = Field(description="US dollars that may be spent in a period.")
    per: Period = Field(
        default="month",
        validate_default=True,
        description="The period: a calendar hour, day, week (from Monday), month or quarter, or a rolling "
        "one such as 24h or 30d.",
    )
    time_zone: TimeZone = Field(
        default="UTC", description="IANA name of the zone whose calendar it is."
    )
    spans: SpanFilter | None = Field(
        default=None,
        description="Whose calls are paid from it. Of the spans that match, those count that stand for a "
        "model call. Default: those of this document's service.",
    )
    by: list[Text] = Field(
        default=[],
        max_length=8,
        description="One budget for each combination of these span. or resource. attributes.",
        examples=[["span.tenant.id"]],
    )
    overrides: dict[str, Dollars] = Field(
        default={},
        description="Other amounts for single values of by, which then names one attribute.",
        examples=[{"acme": 20000}],
    )
    warn: list[WarnLevel] = Field(
        default=[Fraction(4, 5), Fraction(19, 20), Fraction(1)],
        max_length=20,
        description="Percentages of the budget at which to warn, once each a period; [] for none. From "
        "100 % on it is a page, below a ticket.",
        json_schema_extra={"default": [80, 95, 100]},
    )
    explain: list[Attribute] | None = Field(
        default=None,
        max_length=12,
        description="Attributes by which an alert names the top spenders; [] for none. Default: model, "
        "provider, operation, tenant, feature, prompt and user.",
    )
    alerts: AlertsForm = Field(default=AlertsForm(), description="Who is told and when.")
    labels: Labels = Field(default={}, description="Labels of this budget's series and alerts.")
    annotations: Annotations = Field(default={}, description="Annotations of this budget's alerts.")


class BudgetHeadForm(Form):
    """A document of cost budgets without these, which are checked one by one."""

    api_version: Literal["burnline/v1"] = Field(alias="apiVersion", description="The format.")
    kind: Literal["CostBudget"] = Field(description="Cost budgets.")
    service: Name = Field(description="The service all budgets of this document are for.")
    labels: Labels = Field(default={}, description="Labels of every budget here.")
    annotations: Annotations = Field(default={}, description="Annotations of every budget here.")
    budgets: list[Any] = Field(min_length=1, description="The budgets.")


class BudgetFileForm(BudgetHeadForm):
    """Cost budgets of one service, for Burnline."""

    budgets: list[BudgetForm] = Field(min_length=1, description="The budgets.")


class HeadForm(Form):
    """A document without its SLOs and monitors, which are checked one by one."""

    api_version: Literal["burnline/v1"] = Field(alias="apiVersion", description="The format.")
    kind: Literal["SLO"] = Field(
        default="SLO", description="SLOs and monitors; CostBudget is for budgets of money."
    )
    service: Name = Field(description="The service all SLOs of this document are for.")
    labels: Labels = Field(default={}, description="Labels of every SLO here.")
    annotations: Annotations = Field(default={}, description="Annotations of every SLO here.")
    slos: list[Any] = Field(default=[], min_length=1, description="The SLOs.")
    anomalies: list[Any] = Field(default=[], description="The monitors.")


class FileForm(HeadForm):
    """Service-level objectives of one service, and what is watched for anomalies, for Burnline."""

    slos: list[_AnySlo] = Field(
        default_factory=list,
        min_length=1,
        description="The SLOs; may be left out beside anomalies.",
    )
    anomalies: list[MonitorForm] = Field(
        default_factory=list,
        description="What is watched for anomalies. Where no file has this key the defaults are "
        "watched; [] watches nothing.",
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a document, for editors.

    >>> json_schema()["$defs"]["Budgets"]["properties"]["apiVersion"]["const"]
    'burnline/v1'
    """
    slos, budgets = (
        _tidy(form.model_json_schema(mode="validation")) for form in (FileForm, BudgetFileForm)
    )
    definitions = {**slos.pop("$defs"), **budgets.pop("$defs"), "Slos": slos, "Budgets": budgets}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Burnline SLOs and cost budgets",
        "type": "object",
        "if": {"properties": {"kind": {"const": "CostBudget"}}, "required": ["kind"]},
        "then": {"$ref": "#/$defs/Budgets"},
        "else": {"$ref": "#/$defs/Slos"},
        "$defs": dict(sorted(definitions.items())),
    }


def json_schema_text() -> str:
    """The JSON Schema as `slo/burnline-v1.schema.json` holds it."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _tidy(schema: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Without pydantic's titles, and with absent instead of null for what may be left out."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {k: _tidy(v) for k, v in schema.items() if k not in ("title", "properties", "$defs")}
    for names in ("properties", "$defs"):
        if names in schema:
            result[names] = {k: _tidy(v) for k, v in schema[names].items()}
    branches = result.get("anyOf", [])
    if {"type": "null"} in branches:
        del result["anyOf"]
        result.pop("default", None)
        rest = [branch for branch in branches if branch != {"type": "null"}]
        result |= rest[0] if len(rest) == 1 else {"anyOf": rest}
    if "patternProperties" in result:
        result["additionalProperties"] = False
    return result
