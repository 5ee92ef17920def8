"""Monitors, and readings of them, made by hand: what the flow measures, without the flow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from detectors import Verdicts
from slo.anomalies.decision import AnomalyDecision, Incident, Member, Reading
from slo.anomalies.detecting import Judged
from slo.anomalies.messages import EntityKey, ReadingKey, Readings
from slo.anomalies.model import Feature, Monitor
from slo.columns import Field
from slo.traceql import parse_filter

NOW = 1_790_000_040.0  # divisible by 60

RATE = Feature("rate", "rate", unit="1/s")
ERRORS = Feature("errors", "errors")
P95 = Feature("p95_duration", "quantile", Field("intrinsic", "duration"), quantile=0.95, unit="s")
TOKENS = Feature("tokens", "mean", Field("span", "gen_ai.usage.output_tokens"))
FEATURES = (RATE, ERRORS, P95, TOKENS)


def monitor(name: str = "models", **changes: Any) -> Monitor:
    base = Monitor(
        service="chat-api",
        name=name,
        spans=parse_filter("{ true }"),
        features=FEATURES,
        by=(Field("span", "gen_ai.request.model"),),
        by_names=("span.gen_ai.request.model",),
        labels={"team": "llm"},
    )
    return replace(base, **changes)


MODELS = monitor()
SERVICES = monitor("services", by=(), by_names=())


def entity(
    of: Monitor = MODELS, *group: str, service: str = "chat-api", generation: str | None = None
) -> EntityKey:
    return EntityKey(of.id, group, service, of.generation if generation is None else generation)


def key(feature: Feature = RATE, *group: str, of: Monitor | None = None, service: str = "chat-api"):
    """A series; without a group one of `SERVICES`."""
    of = of or (MODELS if group else SERVICES)
    return ReadingKey(entity(of, *group, service=service), feature.name)


def readings(
    at: float,
    values: Mapping[ReadingKey, float],
    *,
    every: int = 60,
    shard: str = "0",
    lag: float = 2.0,
    **changes: Any,
) -> Readings:
    """A moment of a shard, closed a moment after its end."""
    base = Readings(
        shard=shard,
        clock=at + lag,
        live=True,
        at=at,
        every=every,
        keys=tuple(values),
        values=np.array(list(values.values()), np.float64),
        counts=np.full(len(values), 10),
        watermark=at,
    )
    return replace(base, **changes)


def judged(
    keys: Sequence[ReadingKey],
    strange: Mapping[ReadingKey, float],
    values: Mapping[ReadingKey, float] | None = None,
) -> Judged:
    """Verdicts by decree: those of `strange` alert with that probability; usual is 1 between 0 and 2."""
    keys = tuple(keys)
    values = values or {}
    probability = np.array([strange.get(each, 1.0) for each in keys])
    count = len(keys)
    found = [values.get(each, 9.0 if each in strange else 1.0) for each in keys]
    return Judged(
        keys,
        np.array(found, np.float64),
        Verdicts(
            score=1.0 - probability,
            probability=probability,
            expected=np.ones(count),
            lower=np.zeros(count),
            upper=np.full(count, 2.0),
            alert=np.array([each in strange for each in keys], np.bool_),
            learning=np.zeros(count, np.bool_),
        ),
        {each: place for place, each in enumerate(keys)},
    )


def incident(**changes: Any) -> Incident:
    """One of chat-api's, of a model that has become slow."""
    member = Member(
        key=key(P95, "m1"),
        group=(("span.gen_ai.request.model", "m1"),),
        unit="s",
        every=60,
        since=NOW,
        strangest=Reading(NOW, 3.1, 0.8, 0.6, 1.2, 7.6e-6),
        active=True,
    )
    base = Incident(
        service="chat-api",
        severity="ticket",
        opened=NOW,
        starts_at=NOW + 2,
        ends_at=None,
        monitor=MODELS.id,
        labels=(("team", "llm"),),
        annotations=(("runbook_url", "https://runbooks.example/anomaly"),),
        members=(member,),
        count=1,
        trace_ids=("ab" * 16,),
    )
    return replace(base, **changes)


def decision(
    at: float = NOW,
    incidents: Sequence[Incident] = (),
    ended: Sequence[Incident] = (),
    found: Judged | None = None,
    **changes: Any,
) -> AnomalyDecision:
    """A shard's decision on one moment."""
    found = found or judged([key(P95, "m1")], {})
    base = AnomalyDecision(
        shard="0",
        clock=at + 2,
        live=True,
        at=at,
        every=60,
        keys=found.keys,
        values=found.values,
        verdicts=found.verdicts,
        incidents=tuple(incidents),
        ended=tuple(ended),
    )
    return replace(base, **changes)
