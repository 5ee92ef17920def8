"""The whole way of a payload: checked, counted, decided on, shown on /metrics, told to Alertmanager."""

import random
import re
from collections.abc import Sequence

import numpy as np
import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from engine.columns.measure import Measurer
from engine.columns.points import LONGEST_VALUE
from engine.receivers.holding import Refusal
from engine.receivers.ingest import _checked
from engine.sinks.board import Snapshot
from engine.sinks.exposition import Exposition
from engine.sinks.outbox import payload
from engine.sinks.shown import Shown, labels_of
from engine.spool.arrivals import Arrivals
from engine.spool.spool import Signal
from slo import load
from slo.anomalies.gathering import Gathering
from slo.anomalies.messages import Readings, Sampled
from slo.decision import Alert, Decision
from slo.loading import default_monitors
from slo.plan import Plan
from slo.rendering import group_labels
from tests.dataflows.recorded import SLOS
from tests.engine.columns.test_otlp_json import to_json
from tests.fuzz.messages import random_message
from tests.strategies.shards import Shard
from tests.strategies.watched import METRICS, MONITORS

NOW = 1_700_000_000
PLAN = Plan(
    load({"s.yaml": SLOS}).objectives,
    shards=2,
    series_limit=60,
    monitors=(*MONITORS, *METRICS, *default_monitors()),
)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RENEW, _SHOW = 400, 8


class _Engine:
    """Everything between receiver and sinks, of one process."""

    def __init__(self) -> None:
        self.clock = float(NOW)
        self.measurer = Measurer(
            PLAN.objectives, PLAN.shards, PLAN.skew, _refused, monitors=PLAN.monitors
        )
        monitors = {m.id: m for m in PLAN.monitors}
        self.gatherings = {str(n): Gathering(monitors, 300.0, 40) for n in range(PLAN.shards)}
        self.shards = {str(n): Shard(PLAN) for n in range(PLAN.shards)}
        self.decisions: dict[str, Decision] = {}
        self.exposition = Exposition()
        self.fed = 0

    def feed(self, signal: Signal, body: bytes) -> None:
        self.clock += 1 + self.fed % 45
        self.fed += 1
        marks = (self.clock, self.clock)
        arrivals = Arrivals(clock=self.clock, watermarks=marks, tick=True, **{signal: (body,)})
        for shard, deposit in self.measurer.measure(arrivals):
            if isinstance(deposit, Sampled):
                for readings in self.gatherings[shard].take(deposit):
                    _check_readings(readings)
                continue
            for decision in self.shards[shard].take(deposit):
                self.decisions[shard] = decision
                for alert in (*decision.alerts, *decision.ended):
                    self._tell(alert)
        if self.fed % _SHOW == 0:
            self._show()

    def _tell(self, alert) -> None:
        posted = orjson.loads(orjson.dumps(payload(_shown(alert), self.clock, "")))
        for name, value in (*posted["labels"].items(), *posted["annotations"].items()):
            if not _NAME.fullmatch(name) or not isinstance(value, str):
                raise AssertionError(f"a label {name!r}")
        if posted["labels"]["sloth_id"] != alert.series.objective:
            raise AssertionError("an alert of another SLO")

    def _show(self) -> None:
        decisions = tuple(self.decisions.values())
        alerts = [_shown(alert) for decision in decisions for alert in decision.alerts]
        expected = {
            tuple(sorted(group_labels(PLAN.by_id[key.objective], key.group).items()))
            for decision in decisions
            for key in decision.series
            if key.group
        }
        for openmetrics, parse in ((False, parse_plain), (True, parse_openmetrics)):
            snapshot = Snapshot(decisions, settled=True, objectives=OBJECTIVES)
            text = self.exposition.render(snapshot, alerts, openmetrics=openmetrics).decode()
            end = "# EOF\n" if openmetrics else ""
            families = list(parse(text + end))
            samples = [s for f in families for s in f.samples]
            if len(samples) != sum(1 for line in text.split("\n") if line and line[0] != "#"):
                raise AssertionError("a label became a line")
            for sample in samples:
                own = {k: v for k, v in sample.labels.items() if k in _GROUPS}
                grouped = own and sample.name.startswith("burnline_slo_error_ratio")
                if grouped and tuple(sorted(own.items())) not in expected:
                    raise AssertionError(f"a group that is none: {own}")
                if any(len(value) > LONGEST_VALUE for value in own.values()):
                    raise AssertionError("a long value is shown")


def _check_readings(readings: Readings) -> None:
    if not len(readings.keys) == len(readings.values) == len(readings.counts):
        raise AssertionError("places without readings")
    if np.isinf(readings.values).any() or (readings.counts < 0).any():
        raise AssertionError("a reading that is none")
    for key in readings.keys:
        if any(len(value) > LONGEST_VALUE for value in key.entity.group):
            raise AssertionError("a long value is kept")


def _shown(alert: Alert) -> Shown:
    objective = PLAN.by_id[alert.series.objective]
    return Shown(alert, objective, labels_of(alert, objective))


# One object: another one would be another set of objectives.
OBJECTIVES = PLAN.by_id
_GROUPS = {name for o in PLAN.objectives for name in o.group_labels}
_ENGINE: list[_Engine] = []


def whole_seeds(random_: random.Random) -> Sequence[bytes]:
    found = []
    for number in range(60):
        kind = (ExportTraceServiceRequest, ExportMetricsServiceRequest)[number % 2]
        request = random_message(random_, kind(), NOW * 10**9)
        form = b"tm"[number % 2 : number % 2 + 1]
        found.append(form + request.SerializeToString())
        if number % 5 == 0:
            found.append(form.upper() + orjson.dumps(to_json(request)))
    return found


def whole_check(data: bytes) -> bool:
    """The first byte says what the payload is: t, m, or for JSON T, M."""
    if not _ENGINE or _ENGINE[0].fed >= _RENEW:
        _ENGINE[:] = [_Engine()]
    form, body = data[:1], data[1:]
    signal: Signal = "metrics" if form in b"mM" else "traces"
    try:
        body, accepted = _checked(signal, body, form in b"TM")
    except Refusal:
        return False
    if accepted.items:
        _ENGINE[0].feed(signal, body)
    return True


def _refused(signal: str, reason: str) -> None:
    raise AssertionError(f"{signal} acknowledged, but not decoded: {reason}")
