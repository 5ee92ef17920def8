"""Every series that the engine shows on `/metrics`: name, help, type, unit, in this one place.

`SLO_SERIES` and `ANOMALY_SERIES` are made from decisions by `engine.sinks.exposition`, `LLM_SERIES` from
what was counted of model calls; `EngineMetrics` are the engine's own counters and gauges, kept by the
official client.
"""

import math
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from shutil import disk_usage
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from engine.spool.clock import Clock


@dataclass(frozen=True, slots=True)
class Series:
    """A metric family.

    Attributes:
        name: without `_total`, as OpenMetrics names a counter's family.
        help: one line.
        type: of the exposition formats.
        unit: the name's last word, or empty; shown by OpenMetrics.
    """

    name: str
    help: str
    type: Literal["gauge", "counter", "histogram"] = "gauge"
    unit: str = ""


OBJECTIVE = Series("slo:objective:ratio", "The objective: the promised share of good events.")
ERROR_BUDGET = Series("slo:error_budget:ratio", "The share of events that may be bad.")
TIME_PERIOD = Series("slo:time_period:days", "Days in the period of the error budget.")
CURRENT_BURN = Series(
    "slo:current_burn_rate:ratio", "Burn rate of the last 5 minutes; 1 uses the budget up exactly."
)
PERIOD_BURN = Series("slo:period_burn_rate:ratio", "Burn rate of the whole period.")
BUDGET_REMAINING = Series(
    "slo:period_error_budget_remaining:ratio",
    "Share of the period's error budget that is left; negative when overdrawn.",
)
INFO = Series("sloth_slo_info", "Each SLO, with its labels.")
ALERTS = Series("ALERTS", "Alerts that fire, with the labels that Alertmanager gets.")
GROUP_ERROR_RATIO = Series(
    "burnline_slo_error_ratio", "Share of bad events of a group in a window.", unit="ratio"
)
GROUP_BUDGET_REMAINING = Series(
    "burnline_slo_error_budget_remaining_ratio",
    "Share of a group's error budget that is left; negative when overdrawn.",
    unit="ratio",
)
EVENTS = Series("burnline_slo_events", "Events counted since the SLO was first seen.", "counter")
FROZEN = Series(
    "burnline_slo_frozen",
    "1 while the SLO's source is silent and its alerts neither fire nor end.",
)
DECIDED = Series(
    "burnline_slo_decided_timestamp_seconds",
    "When the oldest shard last decided, Unix time.",
    unit="seconds",
)
COST_BUDGET = Series(
    "burnline_cost_budget_dollars", "US dollars that may be spent in a period.", unit="dollars"
)
COST_SPENT = Series(
    "burnline_cost_spent_dollars", "US dollars spent in the period so far.", unit="dollars"
)
COST_REMAINING = Series(
    "burnline_cost_budget_remaining_ratio",
    "Share of a cost budget that is left; negative when overdrawn.",
    unit="ratio",
)
COST_FORECAST = Series(
    "burnline_cost_forecast_dollars",
    "US dollars that will be spent at the period's end at the newest rate.",
    unit="dollars",
)
COST_CALLS = Series("burnline_cost_calls", "Calls of the period.")
COST_UNPRICED = Series(
    "burnline_cost_unpriced_calls", "Calls of the period whose price nobody knows; in no sum."
)
COST_REFUSED = Series(
    "burnline_cost_refused_calls", "Calls of the period whose cost cannot be true; in no sum."
)
COST_BURN = Series(
    "burnline_cost_burn_rate",
    "How many times too fast a window spends; 1 uses the budget up exactly at the period's end.",
)
COST_SERIES = (
    COST_BUDGET,
    COST_SPENT,
    COST_REMAINING,
    COST_FORECAST,
    COST_CALLS,
    COST_UNPRICED,
    COST_REFUSED,
    COST_BURN,
)
SLO_SERIES = (
    OBJECTIVE,
    ERROR_BUDGET,
    TIME_PERIOD,
    CURRENT_BURN,
    PERIOD_BURN,
    BUDGET_REMAINING,
    INFO,
    GROUP_ERROR_RATIO,
    GROUP_BUDGET_REMAINING,
    EVENTS,
    FROZEN,
    DECIDED,
    ALERTS,
)

ANOMALY_VALUE = Series("burnline_anomaly_value", "What was observed in the last interval.")
ANOMALY_EXPECTED = Series(
    "burnline_anomaly_expected", "What was forecast for the last interval from those before it."
)
ANOMALY_LOWER = Series(
    "burnline_anomaly_lower", "The least that would have been ordinary in the last interval."
)
ANOMALY_UPPER = Series(
    "burnline_anomaly_upper", "The most that would have been ordinary in the last interval."
)
ANOMALY_SCORE = Series(
    "burnline_anomaly_score",
    "How strange the last interval was, from 0 to 1, of the same meaning for every series.",
)
ANOMALY_ACTIVE = Series(
    "burnline_anomaly_active", "1 while the series is strange beyond its budget of false alarms."
)
ANOMALY_SERIES = (
    ANOMALY_VALUE,
    ANOMALY_EXPECTED,
    ANOMALY_LOWER,
    ANOMALY_UPPER,
    ANOMALY_SCORE,
    ANOMALY_ACTIVE,
)

LLM_REQUESTS = Series(
    "burnline_llm_requests", "Calls of models, by how they ended: ok, error.", "counter"
)
LLM_DURATION = Series(
    "burnline_llm_request_duration_seconds",
    "Time from the start of a call to its end.",
    "histogram",
    "seconds",
)
LLM_FIRST_TOKEN = Series(
    "burnline_llm_time_to_first_token_seconds",
    "Time from the start of a streamed call to its first chunk.",
    "histogram",
    "seconds",
)
LLM_TOKENS = Series(
    "burnline_llm_tokens",
    "Tokens, by type; those read from and written to a cache are in input too, reasoning in output.",
    "counter",
)
LLM_COST = Series(
    "burnline_llm_cost_dollars",
    "What calls have cost in US dollars, as far as it is known.",
    "counter",
    "dollars",
)
LLM_ERRORS = Series(
    "burnline_llm_errors", "Calls that failed, by what they failed with.", "counter"
)
LLM_UNPRICED = Series(
    "burnline_llm_unpriced",
    "Calls whose cost is not known: their model has no price, or they tell of no usage.",
    "counter",
)
LLM_SERIES = (
    LLM_REQUESTS,
    LLM_DURATION,
    LLM_FIRST_TOKEN,
    LLM_TOKENS,
    LLM_COST,
    LLM_ERRORS,
    LLM_UNPRICED,
)


def error_ratio(window: str) -> Series:
    """The share of bad events in a window (`5m`), under Sloth's name."""
    return Series(f"slo:sli_error:ratio_rate{window}", f"Share of bad events in {window}.")


class _TooLate(Collector):
    """A counter that the shards keep, through restarts."""

    def __init__(self, count: Callable[[], int]) -> None:
        self.count = count

    def collect(self) -> Iterator[Metric]:
        """The one family."""
        yield CounterMetricFamily(
            "burnline_events_too_late",
            "Events that were older than every window when they came.",
            value=self.count(),
        )


def _asked(ask: Callable[[], float]) -> Callable[[], float]:
    """What is asked at a scrape, NaN where the disk gives no answer: the rest is worth showing."""

    def answer() -> float:
        try:
            return float(ask())
        except (OSError, sqlite3.Error):
            return math.nan

    return answer


def _size(directory: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in directory.glob(pattern))


class _Points(Collector):
    """What the shards keep of metric points, through restarts."""

    def __init__(self, read: Callable[[], tuple[Mapping[str, int], int]]) -> None:
        self.read = read

    def collect(self) -> Iterator[Metric]:
        """Two families."""
        counts, streams = self.read()
        family = CounterMetricFamily(
            "burnline_metric_points_apart",
            "Selected metric points that made no plain increment: first, reset, duplicate, late; "
            "evicted are streams forgotten for want of room.",
            labels=("event",),
        )
        for event in ("first", "reset", "duplicate", "late", "evicted"):
            family.add_metric((event,), counts.get(event, 0))
        yield family
        yield GaugeMetricFamily(
            "burnline_metric_streams",
            "Metric streams whose last points are kept; 100,000 a shard at most.",
            value=streams,
        )


class EngineMetrics:
    """The engine's own metrics, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        signal = ("signal", "protocol")
        self.received_payloads = self._counter(
            "burnline_received_payloads", "Payloads acknowledged.", signal
        )
        self.received_bytes = self._counter(
            "burnline_received_bytes", "Bytes of acknowledged payloads, decompressed.", signal
        )
        self.received_items = self._counter(
            "burnline_received_items",
            "Spans, metric points or events in logs, in acknowledged payloads.",
            signal,
        )
        self.ignored_log_records = self._counter(
            "burnline_ignored_log_records",
            "Log records in acknowledged payloads that are no event which an SLO can count.",
            ("protocol",),
        )
        self.rejected_items = self._counter(
            "burnline_rejected_items",
            "Spans and events in acknowledged payloads that can be placed nowhere: they have no end time.",
            signal,
        )
        self.refused_payloads = self._counter(
            "burnline_refused_payloads", "Payloads refused, by reason.", (*signal, "reason")
        )
        self.accept_seconds = Histogram(
            "burnline_accept_seconds",
            "Time from a payload's arrival to its acknowledgement.",
            signal,
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.in_flight_bytes = self._gauge(
            "burnline_in_flight_bytes", "Bytes of payloads being accepted now."
        )
        self.spool_payloads = self._gauge("burnline_spool_payloads", "Payloads in the spool.")
        self.spool_bytes = self._gauge("burnline_spool_bytes", "Bytes of payloads in the spool.")
        self.spool_limit_bytes = self._gauge(
            "burnline_spool_limit_bytes", "Bytes of payloads that the spool may hold."
        )
        self.undecodable = self._counter(
            "burnline_undecodable_payloads",
            "Payloads, acknowledged or from Kafka, that could not be decoded; the log has the reason.",
            ("signal",),
        )
        self.apart = self._counter(
            "burnline_events_apart",
            "Spans and metric points that were counted in no SLO, by reason.",
            ("reason",),
        )
        self.lag_seconds = self._gauge(
            "burnline_lag_seconds", "How far behind the engine's clock the flow decides."
        )
        self._add_sinks()
        self._add_keeping()
        self._add_clients()
        self._add_slos()
        self._add_work()
        self._add_anomalies()
        self._add_calls()
        self._add_kafka()

    def _add_kafka(self) -> None:
        """What is read from Kafka, and written to it."""
        topic = ("topic",)
        self.kafka_partitions = self._gauge(
            "burnline_kafka_partitions", "Partitions that this process reads.", topic
        )
        self.kafka_unreadable = self._gauge(
            "burnline_kafka_unreadable_partitions",
            "Of these, those that can't be read now: without a leader, or out of reach.",
            topic,
        )
        self.kafka_lag = self._gauge(
            "burnline_kafka_lag_messages",
            "Messages, at most, that wait in the partitions that this process reads.",
            topic,
        )
        self.kafka_lag_seconds = self._gauge(
            "burnline_kafka_lag_seconds",
            "How long ago the oldest of these was written, at most.",
            topic,
        )
        self.kafka_lost = self._counter(
            "burnline_kafka_lost_messages",
            "Messages, at most, that their topic's retention deleted before they were read.",
            topic,
        )
        self.kafka_errors = self._counter(
            "burnline_kafka_errors", "Errors of Kafka's clients, by librdkafka's name.", ("error",)
        )
        self.dead_letters = self._counter(
            "burnline_kafka_dead_letters",
            "Messages that can't be decoded, by what became of them on the topic for these: delivered, "
            "refused by it, or gone from where they were before they could be sent.",
            ("outcome",),
        )
        self.kafka_alerts = self._counter(
            "burnline_kafka_alerts",
            "Messages about alerts, by outcome: delivered, failed (and tried again).",
            ("outcome",),
        )

    def _add_sinks(self) -> None:
        """Where series and alerts go."""
        replica = ("replica",)
        self.sends = self._counter(
            "burnline_alertmanager_sends",
            "Requests to an Alertmanager, by outcome: ok, refused, failed.",
            (*replica, "outcome"),
        )
        self.refused_alerts = self._counter(
            "burnline_alertmanager_refused_alerts",
            "Alerts that an Alertmanager refused; the log names them.",
            replica,
        )
        self.replica_up = self._gauge(
            "burnline_alertmanager_up", "1 where the last request succeeded.", replica
        )
        self.book_failures = self._counter(
            "burnline_alert_book_failures", "Writes of the book of firing alerts that failed.", ()
        )
        self.scrape_seconds = Histogram(
            "burnline_scrape_seconds",
            "Time to render /metrics.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
        )
        self.missed_alerts = self._counter(
            "burnline_alertmanager_missed_alerts",
            "Alerts that began and ended while an Alertmanager took none; the log names them.",
            ("replica",),
        )
        self.remote_samples = self._counter(
            "burnline_remote_write_samples", "Samples that a remote write receiver took.", ("url",)
        )
        self.remote_failures = self._counter(
            "burnline_remote_write_failures",
            "Requests to a remote write receiver that failed and are tried again.",
            ("url",),
        )
        self.remote_pending = self._gauge(
            "burnline_remote_write_pending_samples",
            "Samples that wait for a remote write receiver.",
            ("url",),
        )
        self.remote_dropped = self._counter(
            "burnline_remote_write_dropped_samples",
            "Samples that a remote write receiver never gets: refused by it, too long or too many in "
            "the backlog, or waiting when the engine stopped.",
            ("url", "reason"),
        )
        self.remote_up = self._gauge(
            "burnline_remote_write_up", "1 where the last request was taken.", ("url",)
        )

    def _add_keeping(self) -> None:
        """Reloads, restarts, losses, and the clock."""
        self.flow_restarts = self._counter(
            "burnline_flow_restarts",
            "Flows that were built anew while the process went on, by cause: reload, disk.",
            ("cause",),
        )
        self.reload_successful = self._gauge(
            "burnline_config_last_reload_successful",
            "1 where the SLO files could be used when they were last read.",
        )
        self.reload_success_timestamp = self._gauge(
            "burnline_config_last_reload_success_timestamp_seconds",
            "When the SLO files were last read and could be used, Unix time.",
        )
        self.lost_payloads = self._counter(
            "burnline_spool_lost_payloads",
            "Acknowledged payloads that a damaged spool lost before they were counted.",
            (),
        )
        self.clock_steps = self._counter(
            "burnline_clock_jumps",
            "Steps of the wall clock of more than 5 s, by direction; doubted before they are believed.",
            ("direction",),
        )
        self.clock_ahead_seconds = self._gauge(
            "burnline_clock_ahead_seconds",
            "How far the engine's time is ahead of the wall clock, after one that was set back.",
        )
        self.clock_doubt_seconds = self._gauge(
            "burnline_clock_doubt_seconds",
            "How far the wall clock is ahead of the engine's time while a step is doubted.",
        )

    def _add_clients(self) -> None:
        """Who is let in, and what of theirs is kept out."""
        self.unauthenticated = self._counter(
            "burnline_unauthenticated_requests",
            "Requests turned away for want of a right token or certificate.",
            ("listener",),
        )
        self.failed_handshakes = self._counter(
            "burnline_tls_handshake_failures",
            "TLS handshakes that failed at an HTTP listener; gRPC's are in the log alone.",
            ("listener",),
        )
        self.credentials_failures = self._counter(
            "burnline_credentials_reload_failures",
            "Changed credentials that could not be used; the log has the reason.",
            ("what",),
        )
        self.credentials_stale = self._gauge(
            "burnline_credentials_stale",
            "1 while the last good credentials are used because the files can't be.",
            ("what",),
        )
        self.connections = self._gauge(
            "burnline_connections", "Open HTTP connections.", ("listener",)
        )
        self.refused_connections = self._counter(
            "burnline_refused_connections",
            "HTTP connections closed for cause: crowded (the listener was full), slow_head, "
            "slow_reader, malformed.",
            ("listener", "reason"),
        )
        self.redacted_values = self._counter(
            "burnline_redacted_values",
            "Values of prompts, completions and other content that were blanked before storing.",
            ("signal",),
        )

    def _add_slos(self) -> None:
        """What the SLOs read, and how many series that makes."""
        self.source_silent = self._gauge(
            "burnline_source_silent",
            "1 while a source that an SLO reads is silent: its alerts neither fire nor end.",
            ("signal",),
        )
        self.source_arrival = self._gauge(
            "burnline_source_last_arrival_timestamp_seconds",
            "When the newest payload of a source that an SLO reads came, Unix time; 0 before the first.",
            ("signal",),
        )
        sloth = ("sloth_id", "sloth_service", "sloth_slo")
        self.slo_series = self._gauge(
            "burnline_slo_series", "Groups of an SLO that have a series of their own.", sloth
        )
        self.slo_series_limit = self._gauge(
            "burnline_slo_series_limit",
            "Series an SLO may have, with room for an uneven spread over the shards.",
            sloth,
        )
        self.slo_overflowing = self._gauge(
            "burnline_slo_overflowing",
            "1 where an SLO came to its limit of series: further groups share an overflow series.",
            sloth,
        )
        self.overflowed_points = self._counter(
            "burnline_overflowed_points",
            "Selected metric points without attributes, as their writer had too many series; counted.",
            (),
        )

    def _add_work(self) -> None:
        """What the engine's work takes, and what it works on."""
        self.decision_seconds = Histogram(
            "burnline_decision_seconds",
            "Time from the receipt of data to the publication of what it decided; without replays.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.measured_items = self._counter(
            "burnline_measured_items",
            "Spans, and metric points that an SLO selects, that the flow has read, in replays too.",
            ("signal",),
        )
        self.late_events = self._counter(
            "burnline_events_late",
            "Events (of metrics: points) counted after their bucket of 5 s closed, by age at most.",
            ("signal", "age"),
        )
        self.skewed_events = self._counter(
            "burnline_events_skewed",
            "Spans and metric points ahead of their arrival by no more than --skew; counted.",
            (),
        )
        self.flow_seconds = self._counter(
            "burnline_flow_seconds", "Time the flow has worked, by stage.", ("stage",)
        )
        self.snapshot_seconds = Histogram(
            "burnline_snapshot_seconds",
            "Time to gather and pickle the state of one snapshot; without Bytewax's writing of it.",
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.snapshot_bytes = self._gauge(
            "burnline_snapshot_bytes", "Bytes of the last whole snapshot: what changed since."
        )
        self.snapshot_step_bytes = self._counter(
            "burnline_snapshot_step_bytes", "Bytes pickled for snapshots, by step.", ("step",)
        )
        self.snapshot_timestamp = self._gauge(
            "burnline_snapshot_timestamp_seconds",
            "When state was last pickled for a snapshot, Unix time; 0 before the first.",
        )
        self.snapshot_interval = self._gauge(
            "burnline_snapshot_interval_seconds", "How often state is saved (--snapshot-interval)."
        )
        self.series = self._gauge("burnline_series", "Series (objective and group) that are kept.")
        self.unread_seconds = self._gauge(
            "burnline_unread_seconds",
            "The oldest payload that the flow has not read was received at most so long ago.",
        )
        self.replaying = self._gauge(
            "burnline_replaying", "1 while the flow reads again what was received before its start."
        )
        self.commit_seconds = Histogram(
            "burnline_spool_commit_seconds",
            "Time of a commit of the spool, its sync to disk included.",
            registry=self.registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )
        self.commit_payloads = self._counter(
            "burnline_spool_committed_payloads", "Payloads stored by commits of the spool.", ()
        )
        self.disk_bytes = self._gauge(
            "burnline_disk_bytes", "Bytes of files on disk, by what they are.", ("what",)
        )
        self.disk_free_bytes = self._gauge(
            "burnline_disk_free_bytes", "Bytes free on the disk of the data directory."
        )
        self.trace_spans = self._counter(
            "burnline_trace_spans",
            "Spans about the engine's own work (--traces), by outcome: sent, lost.",
            ("outcome",),
        )
        # A series that only appears with its first event hides that event from `increase`.
        for signal_ in ("traces", "metrics"):
            self.undecodable.labels(signal_)
            self.measured_items.labels(signal_)
        for reason in ("future", "no_end_time", "cost"):
            self.apart.labels(reason)
        for cause in ("reload", "disk"):
            self.flow_restarts.labels(cause)
        for outcome in ("sent", "lost"):
            self.trace_spans.labels(outcome)
        self.build_info = self._gauge(
            "burnline_build_info", "1, with what is running as labels.", ("version", "python")
        )
        self.build_info.labels(version("burnline"), platform.python_version()).set(1)
        self.unjudged = self._counter(
            "burnline_anomaly_unjudged_events",
            "Events that a monitor watches and that came to no reading, once a monitor, by reason.",
            ("reason",),
        )
        for reason in ("late", "before_start", "no_number"):
            self.unjudged.labels(reason)

    def _add_anomalies(self) -> None:
        """What is watched for anomalies, and what came of it."""
        self.anomaly_series = self._gauge(
            "burnline_anomaly_series",
            "Series that are watched for anomalies: judged, or learning while too little is known.",
            ("state",),
        )
        self.judged_readings = self._counter(
            "burnline_anomaly_readings", "Readings judged, in replays too.", ()
        )
        self.incidents = self._counter(
            "burnline_anomaly_incidents",
            "Alerts of anomalies that began, by severity; pages raised from tickets among them.",
            ("severity",),
        )
        self.undetected = self._counter(
            "burnline_anomaly_failures",
            "Moments of a shard that could not be judged by a mistake in Burnline; the log has it.",
            (),
        )
        for severity in ("ticket", "page"):
            self.incidents.labels(severity)

    def _add_calls(self) -> None:
        """What is read of model calls, beside what they used."""
        self.unusable_numbers = self._counter(
            "burnline_llm_unusable_numbers",
            "Numbers on calls of models that none can have (negative, no number, absurd); left out.",
            ("field",),
        )
        self.call_memory_shortened = self._counter(
            "burnline_call_memory_shortened",
            "Times that spans of calls were forgotten early, as there were too many of them.",
            (),
        )
        self.price_table = self._gauge(
            "burnline_price_table_info",
            "1, with the version of the table that calls without a cost are priced by.",
            ("version",),
        )

    def show_prices(self, version: str) -> None:
        """Show which table of prices is used; the one before is gone."""
        self.price_table.clear()
        self.price_table.labels(version).set(1)

    def watch_anomalies(self, learning: Callable[[], int], judged: Callable[[], int]) -> None:
        """Show how many series are watched for anomalies, read at each scrape.

        Args:
            learning: those of which too little is known yet.
            judged: the others.
        """
        for state, count in (("learning", learning), ("judged", judged)):
            self.anomaly_series.labels(state).set_function(count)

    def watch_clock(self, clock: Clock) -> None:
        """Show the engine's clock, read at each scrape."""
        clock.on_step = lambda seconds: self.clock_steps.labels(
            "forward" if seconds > 0 else "back"
        ).inc()
        for direction in ("forward", "back"):
            self.clock_steps.labels(direction)
        self.clock_ahead_seconds.set_function(lambda: clock.read().ahead_ns / 1e9)
        self.clock_doubt_seconds.set_function(lambda: clock.read().doubt_ns / 1e9)

    def credentials_read(self, what: str, *, good: bool) -> None:
        """Take note that credentials were read, and whether they could be used."""
        self.credentials_stale.labels(what).set(not good)
        failures = self.credentials_failures.labels(what)
        if not good:
            failures.inc()

    def watch_points(self, read: Callable[[], tuple[Mapping[str, int], int]]) -> None:
        """Show what happens to metric points, read at each scrape.

        Args:
            read: how often each thing happened so far, and how many streams are kept.
        """
        self.registry.register(_Points(read))

    def watch_spool(self, depth: Callable[[], tuple[int, int]], limit: int) -> None:
        """Show a spool's depth, read at each scrape."""
        self.spool_payloads.set_function(_asked(lambda: depth()[0]))
        self.spool_bytes.set_function(_asked(lambda: depth()[1]))
        self.spool_limit_bytes.set(limit)

    def watch_flow(
        self,
        clock: Callable[[], float],
        too_late: Callable[[], int],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Show how far the flow is, read at each scrape.

        Args:
            clock: Unix seconds of the newest decision, 0 before the first.
            too_late: events so far that were older than every window.
            now: Unix seconds by the engine's own clock.
        """
        self.lag_seconds.set_function(lambda: max(0.0, now() - clock()) if clock() else 0.0)
        self.registry.register(_TooLate(too_late))

    def watch_reading(
        self, unread: Callable[[], float], replaying: Callable[[], bool], series: Callable[[], int]
    ) -> None:
        """Show what the flow reads and keeps, read at each scrape.

        Args:
            unread: seconds since the oldest unread payload came, at most; 0 for none.
            replaying: whether what is read was received before the start.
            series: how many the shards keep.
        """
        self.unread_seconds.set_function(_asked(unread))
        self.replaying.set_function(replaying)
        self.series.set_function(series)

    def watch_disk(self, data_dir: Path) -> None:
        """Show the sizes of spool and recovery store, read at each scrape."""
        for what, pattern in (("spool", "spool.db*"), ("recovery", "recovery/*")):
            self.disk_bytes.labels(what).set_function(_asked(partial(_size, data_dir, pattern)))
        self.disk_free_bytes.set_function(_asked(lambda: disk_usage(data_dir).free))

    def watch_receiver(self, url: str, pending: Callable[[], int]) -> None:
        """Show a remote write receiver from the start, and what waits for it at each scrape."""
        self.remote_samples.labels(url)
        self.remote_failures.labels(url)
        self.remote_up.labels(url)
        for reason in ("refused", "backlog", "stopped"):
            self.remote_dropped.labels(url, reason)
        self.remote_pending.labels(url).set_function(pending)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
