"""The `detect` step in a real Bytewax flow, with recovery; readings are made by hand."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main
from structlog.testing import capture_logs

from dataflows.flow import detect
from engine.sinks.publish import Publish
from engine.telemetry.metrics import EngineMetrics
from engine.telemetry.watch import LiveWatch
from slo.anomalies.decider import AnomalyDecider
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.messages import Readings
from slo.anomalies.rendering import incident_labels
from tests.strategies.readings import ERRORS, MODELS, NOW, P95, RATE, SERVICES, key, readings

MONITORS = {each.id: each for each in (MODELS, SERVICES)}
SERIES = [key(RATE), *(key(f, m) for f in (RATE, ERRORS, P95) for m in ("m1", "m2"))]
MOMENTS = 320
BREAKS, MENDS = 200, 205


def day() -> list[tuple[str, Readings]]:
    """Two services in two shards; chat-api's model m1 breaks for five minutes."""
    random = np.random.default_rng(5)
    found = []
    for moment in range(MOMENTS):
        at = NOW + 60 * moment
        values = {
            each: 0.0 if each.feature == ERRORS.name else 10.0 + random.uniform(-1, 1)
            for each in SERIES
        }
        if BREAKS <= moment < MENDS:
            values |= {key(ERRORS, "m1"): 0.8, key(P95, "m1"): 90.0, key(RATE): 0.0}
        found.append(("0", readings(at, values)))
        calm = {key(RATE, service="billing"): 5.0 + random.uniform(-1, 1)}
        found.append(("1", readings(at, calm, shard="1")))
    return found


def run(
    items: Iterable[tuple[str, Readings]], recovery: Path | None = None, **ask: object
) -> list[AnomalyDecision]:
    found: list[AnomalyDecision] = []
    flow = Dataflow("detecting")
    stream = op.input("readings", flow, TestingSource(items, batch_size=8))
    sink = Publish(lambda: found.append, ask.pop("published", lambda _decisions, _began: None))
    detect(stream, MONITORS, sink, **ask)
    config = RecoveryConfig(recovery) if recovery else None
    epochs = timedelta(0) if recovery else timedelta(seconds=10)
    run_main(flow, epoch_interval=epochs, recovery_config=config)
    return found


def lives(decisions: Iterable[AnomalyDecision]) -> dict[tuple, tuple[float, float | None]]:
    """(labels, start) of each alert: its start and end."""
    found = {}
    for decision in decisions:
        for each in (*decision.incidents, *decision.ended):
            key_ = (tuple(sorted(incident_labels(each).items())), each.opened)
            found[key_] = (each.starts_at, each.ends_at)
    return found


def test_a_failing_model_is_one_alert_that_names_it() -> None:
    decisions = run(day())
    [(labels, (starts_at, ends_at))] = lives(decisions).items()
    assert dict(labels[0])["service"] == "chat-api"
    assert starts_at == NOW + 60 * BREAKS + 2
    assert ends_at >= NOW + 60 * BREAKS + 300, "it is held open"
    worst = next(d for d in decisions if d.incidents and d.at > NOW + 60 * BREAKS)
    [incident] = worst.incidents
    assert incident.cause.key in (key(ERRORS, "m1"), key(P95, "m1"))
    assert incident.cause.key == key(ERRORS, "m1"), "errors before slowness"
    assert {m.key for m in incident.members} >= {key(ERRORS, "m1"), key(P95, "m1"), key(RATE)}


@pytest.mark.parametrize("broken", [1, BREAKS - 30, BREAKS + 2, MENDS + 3])
def test_killed_at_any_moment_it_decides_as_if_it_had_not_been(tmp_path: Path, broken: int) -> None:
    init_db_dir(tmp_path, 1)
    items: list = day()
    want = run(items)
    items.insert(2 * broken, TestingSource.ABORT())
    before = run(items, tmp_path)
    after = run(items, tmp_path)
    assert lives([*before, *after]) == lives(want)
    undisturbed = {(d.shard, d.at): d for d in want}
    assert {(d.shard, d.at) for d in [*before, *after]} == undisturbed.keys()
    for left in after:
        right = undisturbed[left.shard, left.at]
        np.testing.assert_array_equal(left.verdicts.score, right.verdicts.score)
        np.testing.assert_array_equal(left.verdicts.alert, right.verdicts.alert)


def test_a_detector_that_fails_costs_its_moment_and_no_more(monkeypatch) -> None:
    taken = AnomalyDecider.take

    def take(decider: AnomalyDecider, found: Readings) -> AnomalyDecision | None:
        if found.at == NOW + 600:
            raise ZeroDivisionError("a mistake")
        return taken(decider, found)

    monkeypatch.setattr(AnomalyDecider, "take", take)
    with pytest.raises(BytewaxRuntimeError):
        run(day())
    metrics = EngineMetrics()
    with capture_logs() as logs:
        decisions = run(day(), watch=LiveWatch(metrics))
    assert len(decisions) == 2 * (MOMENTS - 1)
    assert metrics.registry.get_sample_value("burnline_anomaly_failures_total") == 2
    [line] = [line for line in logs if line["log_level"] == "error"]
    assert isinstance(line["exc_info"], ZeroDivisionError)


def test_what_it_does_is_counted() -> None:
    metrics = EngineMetrics()
    watch = LiveWatch(metrics)
    items = day()
    frozen = replace(items[-1][1], at=NOW + 60 * MOMENTS, frozen=True)
    run([*items, ("1", frozen)], watch=watch, published=watch.judged)
    value = metrics.registry.get_sample_value
    assert value("burnline_anomaly_readings_total") == MOMENTS * (len(SERIES) + 1)
    assert value("burnline_flow_seconds_total", {"stage": "detect"}) > 0
    assert value("burnline_snapshot_step_bytes_total", {"step": "detect"}) > 0
