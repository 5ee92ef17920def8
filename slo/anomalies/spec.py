"""The YAML form of what is watched for anomalies: shape, defaults and JSON Schema.

`slo.anomalies.compile` turns what these models hold into `slo.anomalies.model.Monitor`s.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from slo._fields import Name, Selector, SpanFilter, Text
from slo._forms import FORM, TEXT, AlertForm, AlertOrOff, Form, form_or_text
from slo.anomalies._fields import (
    Detector,
    FalseAlarms,
    FeatureName,
    Interval,
    Numeric,
    Parameters,
    Per,
    PlainFeature,
    Quantile,
)


class FeatureForm(Form):
    """One number an interval: exactly one of rate, errors, of, sum, mean and metric."""

    rate: SpanFilter | None = Field(
        default=None, description="Events a second of those that match this filter, too."
    )
    errors: SpanFilter | None = Field(
        default=None, description="The share of the events that match this filter."
    )
    of: Numeric | None = Field(
        default=None, description="The quantile of this: duration, or a numeric attribute."
    )
    quantile: Quantile | None = Field(
        default=None, description="Percent, with of, or with metric for a histogram."
    )
    sum: Numeric | None = Field(default=None, description="The sum of this, a second.")
    mean: Numeric | None = Field(default=None, description="The mean of this over the events.")
    metric: Selector | None = Field(
        default=None,
        description="For metrics: a counter (its increase a second), a gauge (its mean), or with "
        "quantile a histogram.",
    )
    per: Per = Field(
        default=1,
        description="Rates and sums are told by so much time instead of a second.",
        json_schema_extra={"default": "1s"},
    )
    name: FeatureName | None = Field(
        default=None, description="Its name in labels, instead of one that follows from it."
    )
    unit: Text | None = Field(
        default=None, description="The unit, for people, instead of one that follows from it."
    )


_Feature = Annotated[
    Annotated[FeatureForm, Tag(FORM)] | Annotated[PlainFeature, Tag(TEXT)],
    Discriminator(form_or_text),
]


class MonitorForm(Form):
    """What is watched for anomalies: some entities and their features."""

    name: Name = Field(description="Unique within the service.", examples=["models"])
    description: Text | None = Field(default=None, description="For people.")
    spans: SpanFilter | None = Field(
        default=None,
        description="Which spans are events. Left out for metrics, whose features have selectors.",
    )
    by: list[Text] = Field(
        default=[],
        max_length=8,
        description="An entity for each combination of these: span. or resource. attributes, or "
        "for metrics label names.",
        examples=[["resource.service.name", "span.gen_ai.request.model"]],
    )
    every: Interval = Field(
        default=60,
        description="How often each entity is judged: the length of an interval.",
        json_schema_extra={"default": "1m"},
    )
    watch: list[_Feature] = Field(
        min_length=1,
        max_length=20,
        description="The features: rate, errors, or a quantile, sum or mean of a number, or a metric.",
        examples=[["rate", "errors", {"quantile": 95, "of": "duration"}]],
    )
    false_alarms: FalseAlarms = Field(
        default=1 / 604_800,
        description="How many false alarms are accepted, for each series.",
        json_schema_extra={"default": "1 per week"},
    )
    detector: Detector = Field(
        default="default", description="The detector: default, or an estimator of river."
    )
    parameters: Parameters = Field(
        default={}, description="Keyword arguments of an estimator of river."
    )
    together: bool = Field(
        default=False,
        description="Score the features of an entity as one with this detector, besides each with "
        "the default one.",
    )
    severity: Literal["page", "ticket"] = Field(
        default="ticket", description="Which alerts come of it while no SLO of the service burns."
    )
    alerts: AlertOrOff = Field(
        default=AlertForm(),
        description="Labels and annotations of its alerts; off for series alone.",
    )
