"""What SLOs would have done on recorded telemetry: the live dataflow, with time taken from the events.

Requests of one second of event time are counted and decided on as one, at the time of their
newest event: no decision live could have been made between two spans of one request either.
Between arrivals every moment at which a window changes is decided on too.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, Sink, StatelessSinkPartition
from bytewax.testing import run_main

from dataflows.flow import build
from engine.columns.measure import Measurer
from engine.recordings.files import Progress, Recorded, read_files
from engine.spool.arrivals import Arrivals
from engine.telemetry.watch import Watch
from slo.anomalies.decision import AnomalyDecision, Incident
from slo.anomalies.messages import Readings
from slo.anomalies.model import Monitor
from slo.decision import Alert, Decision, SeriesKey, budget_remaining
from slo.model import Objective
from slo.plan import Plan

BYTES_PER_ARRIVAL = 32 << 20
ARRIVALS_PER_BATCH = 20


class BadRecording(Exception):  # noqa: N818  reads as what it says
    """A file of a recording can't be used; the message has the place and the mend."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One budget at the end of the recording.

    Attributes:
        key: the series.
        bad: bad events in the objective's window.
        total: all events in it.
        budget_remaining: signed share of the budget.
    """

    key: SeriesKey
    bad: int
    total: int
    budget_remaining: float

    @property
    def sli(self) -> float | None:
        """The share of good events; None where nothing was counted."""
        return 1 - self.bad / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Spending:
    """One cost budget in the last period of the recording; money in nanodollars.

    Attributes:
        key: the series.
        budget: -1 for the series that groups beyond the limit share.
        spent: in the period.
        calls: likewise.
        unpriced: of these, calls without a price.
        refused: of these, calls with a cost that cannot be true.
        forecast: at the period's end; None for none.
    """

    key: SeriesKey
    budget: int
    spent: int
    calls: int
    unpriced: int
    refused: int
    forecast: float | None


@dataclass(slots=True)
class Report:
    """What a backtest found.

    Attributes:
        alerts: burn alerts by start, each as it was when it fired, with its end and, of all that
            it held until then, what its bad events had in common.
        budget_events: levels of consumption reached.
        outcomes: every budget at the end.
        requests: export requests read.
        refused: (signal, reason) of requests that no decoder takes.
        apart: events that could be placed nowhere, by reason.
        edges: (SLO, metric, edge used) of histograms without a bucket edge at the SLO's bound.
        first: Unix seconds of the first arrival, 0 without any.
        last: of the last.
        absences: alerts of missing traffic by start, each with its end.
        incidents: alerts of anomalies by start, each as it was last, with its end.
        budgets: every cost budget at the end.
        cost_alerts: alerts of cost budgets by start, each with its end.
        unjudged: events that are watched for anomalies and came to no reading, by reason.
    """

    alerts: list[Alert] = field(default_factory=list)
    budget_events: list[Alert] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    requests: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    apart: Counter[str] = field(default_factory=Counter)
    edges: list[tuple[str, str, float]] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0
    absences: list[Alert] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    unjudged: Counter[str] = field(default_factory=Counter)
    budgets: list[Spending] = field(default_factory=list)
    cost_alerts: list[Alert] = field(default_factory=list)

    def burns_in(self, incident: Incident, services: Mapping[str, str]) -> Alert | None:
        """The first burn of an SLO of its service while an incident is open: it makes a page of a ticket.

        Args:
            incident: which.
            services: of each objective, by id.
        """
        never = float("inf")
        for alert in self.alerts:
            apart = (
                alert.starts_at >= (incident.ends_at or never)
                or (alert.ends_at or never) <= incident.starts_at
            )
            if services.get(alert.series.objective) == incident.service and not apart:
                return alert
        return None


def backtest(
    objectives: Iterable[Objective],
    paths: Iterable[Path],
    progress: Progress | None = None,
    monitors: Iterable[Monitor] = (),
) -> Report:
    """Run the dataflow over files.

    Args:
        objectives: the SLOs.
        paths: recorded telemetry, see `engine.recordings.files`.
        progress: told how far the files have been read.
        monitors: what is watched for anomalies.

    Raises:
        BadRecording: a file can't be read or is not telemetry.
    """
    return run(objectives, _checked(read_files(list(paths), progress)), monitors)


def _checked(recorded: Iterator[Recorded]) -> Iterator[Recorded]:
    try:
        yield from recorded
    except IsADirectoryError as error:
        raise BadRecording(f"{error.filename} is a directory; name the files in it") from error
    except OSError as error:
        raise BadRecording(f"{error.filename}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise BadRecording(str(error)) from error


def run(
    objectives: Iterable[Objective],
    recorded: Iterable[Recorded],
    monitors: Iterable[Monitor] = (),
    readings: Sink[tuple[str, Readings]] | None = None,
) -> Report:
    """Run the dataflow over recorded requests in order of time; `readings` takes what is watched."""
    # One shard: the flow runs on one worker here, and fewer, larger arrays are faster.
    plan = Plan(tuple(objectives), shards=1, series_limit=1_000_000, monitors=tuple(monitors))
    report = Report()
    watch = _Unjudged(report)

    def measurer() -> Measurer:
        return Measurer(
            plan.objectives,
            plan.shards,
            plan.skew,
            lambda *what: report.refused.append(what),
            lambda reason, count: report.apart.update({reason: count}),
            lambda *what: report.edges.append(what),
            admitted=plan.admitted,
            monitors=plan.monitors,
            unjudged=watch.unjudged,
        )

    source = _Recording(_arrivals(recorded, report))
    collector = _Collector()
    incidents = _IncidentCollector()
    run_main(
        build(
            plan,
            source,
            collector,
            measurer,
            watch=watch,
            readings=readings,
            anomalies=incidents,
        )
    )
    if source.failure is not None:
        raise source.failure
    collector.into(report, plan)
    incidents.into(report)
    too_late = sum(decision.too_late for decision in collector.last.values())
    if too_late:
        report.apart["too_late"] = too_late
    return report


class _Unjudged(Watch):
    """Counts what came to no reading."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def unjudged(self, reason: str, events: int) -> None:
        """See `Watch`."""
        self.report.unjudged.update({reason: events})


def _arrivals(recorded: Iterable[Recorded], report: Report) -> Iterator[Arrivals]:
    """Requests of the same second of event time together."""
    clock_ns, size = 0, 0
    waiting: list[Recorded] = []
    marks = {"traces": 0.0, "metrics": 0.0}

    def flush() -> Arrivals:
        clock = clock_ns / 1e9
        for item in waiting:
            marks[item.signal] = clock
        return Arrivals(
            clock=clock,
            traces=tuple(r.body for r in waiting if r.signal == "traces"),
            metrics=tuple(r.body for r in waiting if r.signal == "metrics"),
            exact=True,
            tick=True,
            watermarks=(marks["traces"], marks["metrics"]),
        )

    for item in recorded:
        report.requests += 1
        same_second = item.time_ns // 1_000_000_000 == clock_ns // 1_000_000_000
        if waiting and (not same_second or size > BYTES_PER_ARRIVAL):
            yield flush()
            waiting, size = [], 0
        waiting.append(item)
        size += len(item.body)
        clock_ns = max(clock_ns, item.time_ns)
        report.first = report.first or clock_ns / 1e9
        report.last = clock_ns / 1e9
    if waiting:
        yield flush()


class _Recording(DynamicSource[Arrivals]):
    """Arrivals from an iterator, on the first worker."""

    def __init__(self, arrivals: Iterator[Arrivals]) -> None:
        self.arrivals = arrivals
        self.failure: Exception | None = None

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> "_RecordingPartition":
        return _RecordingPartition(self)


class _RecordingPartition(StatelessSourcePartition[Arrivals]):
    def __init__(self, recording: _Recording) -> None:
        self.recording = recording

    def next_batch(self) -> list[Arrivals]:
        batch: list[Arrivals] = []
        try:
            for arrivals in self.recording.arrivals:
                batch.append(arrivals)
                if len(batch) >= ARRIVALS_PER_BATCH:
                    return batch
        except Exception as failure:
            self.recording.failure = failure
            raise StopIteration from failure
        if not batch:
            raise StopIteration
        return batch


class _Collector(DynamicSink[tuple[str, Decision]]):
    """Keeps every alert ever fired, and the last decision of each shard."""

    def __init__(self) -> None:
        self.alerts: dict[tuple[Any, ...], Alert] = {}
        self.last: dict[str, Decision] = {}

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> "_CollectorPartition":
        return _CollectorPartition(self)

    def take(self, decision: Decision) -> None:
        self.last[decision.shard] = decision
        for alert in (*decision.alerts, *decision.ended):
            identity = (
                alert.series,
                alert.kind,
                alert.severity,
                alert.consumed,
                alert.starts_at,
            )
            first = self.alerts.setdefault(identity, alert)
            self.alerts[identity] = replace(
                first,
                ends_at=alert.ends_at,
                slices=alert.slices or first.slices,
                errors=alert.errors or first.errors,
                trace_ids=alert.trace_ids or first.trace_ids,
                silence=alert.silence,
                spent=alert.spent and first.spent,
            )

    def into(self, report: Report, plan: Plan) -> None:
        order: Callable[[Alert], tuple[float, str, tuple[str, ...]]] = lambda alert: (  # noqa: E731
            alert.starts_at,
            alert.series.objective,
            alert.series.group or (),
        )
        alerts = sorted(self.alerts.values(), key=order)
        report.alerts = [alert for alert in alerts if alert.kind == "burn"]
        report.budget_events = [alert for alert in alerts if alert.kind == "budget"]
        report.absences = [alert for alert in alerts if alert.kind == "absent"]
        report.cost_alerts = [alert for alert in alerts if alert.spent is not None]
        for decision in self.last.values():
            report.budgets += _spendings(decision)
        seen = {objective.id for objective in plan.objectives if objective.spend}
        for decision in self.last.values():
            for key, (bad, total) in zip(decision.series, decision.period.tolist(), strict=True):
                if key.group is not None and not plan.by_id[key.objective].spend:
                    seen.add(key.objective)
                    target = plan.by_id[key.objective].target
                    left = budget_remaining(target, bad, total)
                    report.outcomes.append(Outcome(key, bad, total, left))
        for objective in plan.objectives:
            if objective.id not in seen and not objective.by:
                report.outcomes.append(Outcome(SeriesKey(objective.id, ()), 0, 0, 1.0))
        place = {o.id: i for i, o in enumerate(plan.objectives)}
        report.budgets.sort(key=lambda b: (place[b.key.objective], b.key.group or ()))
        report.outcomes.sort(key=lambda o: (place[o.key.objective], o.key.group or ()))


def _spendings(decision: Decision) -> Iterator[Spending]:
    spends = decision.spends
    if spends is None:
        return
    for number, row in enumerate(spends.rows.tolist()):
        key = decision.series[row]
        if key.group is None:
            continue
        spent, calls = decision.period[row].tolist()
        refused, unpriced = spends.apart[number].tolist()
        forecast = float(spends.forecasts[number])
        yield Spending(
            key,
            int(spends.budgets[number]),
            spent,
            calls,
            unpriced,
            refused,
            forecast if isfinite(forecast) else None,
        )


class _IncidentCollector(DynamicSink[tuple[str, AnomalyDecision]]):
    """Keeps every incident ever told, as it was last."""

    def __init__(self) -> None:
        self.incidents: dict[tuple[str, str, float], Incident] = {}

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> "_IncidentPartition":
        return _IncidentPartition(self)

    def take(self, decision: AnomalyDecision) -> None:
        for incident in (*decision.incidents, *decision.ended):
            self.incidents[incident.service, incident.severity, incident.opened] = incident

    def into(self, report: Report) -> None:
        report.incidents = sorted(
            self.incidents.values(), key=lambda i: (i.starts_at, i.service, i.severity)
        )


class _IncidentPartition(StatelessSinkPartition[tuple[str, AnomalyDecision]]):
    def __init__(self, collector: _IncidentCollector) -> None:
        self.collector = collector

    def write_batch(self, items: list[tuple[str, AnomalyDecision]]) -> None:
        for _, decision in items:
            self.collector.take(decision)


class _CollectorPartition(StatelessSinkPartition[tuple[str, Decision]]):
    def __init__(self, collector: _Collector) -> None:
        self.collector = collector

    def write_batch(self, items: list[tuple[str, Decision]]) -> None:
        for _, decision in items:
            self.collector.take(decision)
