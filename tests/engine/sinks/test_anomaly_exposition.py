"""The series of anomalies on `/metrics`, beside what the official client writes."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from engine.sinks._anomaly_layout import series_labels
from engine.sinks.board import Board, Snapshot
from engine.sinks.exposition import Exposition
from engine.telemetry import metrics
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.model import Monitor
from tests.strategies.readings import (
    ERRORS,
    FEATURES,
    MODELS,
    NOW,
    P95,
    RATE,
    SERVICES,
    decision,
    judged,
    key,
)

MONITORS = {each.id: each for each in (MODELS, SERVICES)}
NAN, INF = math.nan, math.inf


class Oracle(Collector):
    """The same figures through prometheus_client's own families, one plain loop each."""

    def __init__(self, decisions: list[AnomalyDecision], monitors: dict[str, Monitor]) -> None:
        self.decisions = decisions
        self.monitors = monitors

    def collect(self) -> Iterator[Metric]:
        for number, series in enumerate(metrics.ANOMALY_SERIES):
            family = GaugeMetricFamily(series.name, series.help)
            for d in self.decisions:
                for row, each in enumerate(d.keys):
                    verdict = d.verdicts.of(row)
                    unheard = verdict.learning or d.frozen
                    value = (
                        float(d.values[row]),
                        verdict.expected,
                        verdict.lower,
                        verdict.upper,
                        NAN if unheard else verdict.score,
                        float(verdict.alert),
                    )[number]
                    if math.isfinite(value):
                        labels = series_labels(self.monitors[each.entity.monitor], each)
                        family.add_sample(series.name, dict(sorted(labels.items())), value)
            if family.samples:
                yield family


def snapshot(*decisions: AnomalyDecision, monitors: dict[str, Monitor] | None = None) -> Snapshot:
    return Snapshot((), False, {}, decisions, MONITORS if monitors is None else monitors)  # noqa: FBT003


def page(*decisions: AnomalyDecision, **ask: bool) -> str:
    return Exposition().render(snapshot(*decisions), (), **ask).decode()


VALUES = st.sampled_from([0.0, 1.5, -3.0, 1e-9, 1e7, -2e8, NAN, INF, -INF])
KEYS = (key(P95, "m1"), key(RATE, 'say "hi"\n'), key(ERRORS, ""), key(RATE))


@st.composite
def decisions(draw: st.DrawFn) -> AnomalyDecision:
    keys = tuple(draw(st.lists(st.sampled_from(KEYS), unique=True)))
    found = judged(keys, dict.fromkeys(draw(st.lists(st.sampled_from(KEYS))), 1e-6))
    values = [draw(VALUES) for _ in keys]
    says = found.verdicts
    says.expected[:], says.lower[:] = values[::-1], values
    says.learning[:] = [draw(st.booleans()) for _ in keys]
    found = found._replace(values=np.array(values, np.float64))
    return decision(found=found, frozen=draw(st.booleans()))


@settings(deadline=None, max_examples=60)
@given(decisions(), st.booleans())
def test_the_text_is_what_the_official_client_writes(found, openmetrics) -> None:
    registry = CollectorRegistry()
    registry.register(Oracle([found], MONITORS))
    write = generate_openmetrics if openmetrics else generate_latest
    want = write(registry).decode().removesuffix("# EOF\n")
    assert page(found, openmetrics=openmetrics) == want


def test_what_is_said_of_a_series() -> None:
    found = decision(found=judged([key(P95, "m1")], {key(P95, "m1"): 0.25}))
    labels = (
        '{feature="p95_duration",gen_ai_request_model="m1",monitor="chat-api-models",'
        'service="chat-api"}'
    )
    assert [line for line in page(found).splitlines() if not line.startswith("#")] == [
        f"burnline_anomaly_value{labels} 9.0",
        f"burnline_anomaly_expected{labels} 1.0",
        f"burnline_anomaly_lower{labels} 0.0",
        f"burnline_anomaly_upper{labels} 2.0",
        f"burnline_anomaly_score{labels} 0.75",
        f"burnline_anomaly_active{labels} 1.0",
    ]


def test_series_of_monitors_that_are_gone_or_measure_otherwise_are_not_shown() -> None:
    found = decision(found=judged(KEYS, {}))
    shown = Exposition()
    assert shown.render(snapshot(found), ()).decode().count("burnline_anomaly_value{") == 4
    other = {SERVICES.id: SERVICES, MODELS.id: replace(MODELS, features=FEATURES[:1])}
    text = shown.render(snapshot(found, monitors=other), ()).decode()
    assert text.count("burnline_anomaly_value{") == 1
    board = Board([], monitors=[MODELS, SERVICES])
    board.publish_anomalies(found)
    board.reload([], [SERVICES])
    text = shown.render(board.snapshot(), ()).decode()
    assert text.count("burnline_anomaly_value{") == 1


def test_series_that_come_and_go_are_laid_out_anew() -> None:
    shown = Exposition()
    first = decision(found=judged(KEYS[:1], {}))
    assert shown.render(snapshot(first), ()).count(b"burnline_anomaly_value{") == 1
    second = decision(found=judged(KEYS[:3], {}))
    assert shown.render(snapshot(second), ()).count(b"burnline_anomaly_value{") == 3
    assert shown.render(snapshot(), ()) == b""


def test_remote_write_has_the_same_samples() -> None:
    found = decision(found=judged(KEYS, {KEYS[0]: 0.1}, {KEYS[1]: NAN}))
    exposition = Exposition()
    lines = [
        f"{head.strip()} {value!r}"
        for heads, values in exposition.blocks(snapshot(found), ())
        for head, value in zip(heads, values.tolist(), strict=True)
    ]
    text = exposition.render(snapshot(found), ()).decode()
    # The labels themselves hold line feeds as two characters.
    assert lines == [line for line in text.split("\n") if line and line[0] != "#"]


@pytest.mark.timeout(120)
def test_ten_thousand_series_render_quickly() -> None:
    """60,000 lines; measured 0.05 s. The bound is for a slow machine, and still far under a scrape's."""
    keys = [key(feature, f"m{n}") for n in range(2500) for feature in FEATURES]
    found = decision(NOW, found=judged(keys, {}))
    shown = Exposition()
    shown.render(snapshot(found), ())
    began = time.perf_counter()
    text = shown.render(snapshot(replace(found, at=NOW + 60)), ())
    assert text.count(b"\n") > 60_000
    assert time.perf_counter() - began < 2.0
