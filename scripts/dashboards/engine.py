"""The engine itself: what comes in, how far it has decided, what it keeps."""

from scripts.dashboards._page import RATE, Choice, Page, Panel, Query, quantiles


def _quantiles(name: str, by: str = "") -> tuple[Query, ...]:
    return quantiles(name, f"instance, {by}" if by else "instance")


def _rates(name: str, by: str) -> Query:
    return Query(
        f"sum by (instance, {by}) (rate({name}{{E}}{RATE}))", f"{{{{instance}}}} {{{{{by}}}}}"
    )


def _rate(name: str, called: str) -> Query:
    return Query(f"sum by (instance) (rate({name}{{E}}{RATE}))", f"{called} {{{{instance}}}}")


GLANCE = (
    Panel("Up", "Scraped.", "short", (Query("min(up{E})"),), (1,), ("red", "green")),
    Panel(
        "Lag",
        "How far decisions are behind.",
        "s",
        (Query("max(burnline_lag_seconds{E})"),),
        (5, 30),
    ),
    Panel(
        "Decided within (p99)",
        "From receipt to decision.",
        "s",
        (
            Query(
                f"histogram_quantile(0.99, sum by (le) (rate(burnline_decision_seconds_bucket{{E}}{RATE})))"
            ),
        ),
        (1, 5),
    ),
    Panel(
        "Spool",
        "Of its limit.",
        "percentunit",
        (Query("max(burnline_spool_bytes{E} / burnline_spool_limit_bytes{E})"),),
        (0.5, 0.8),
    ),
    Panel(
        "Alertmanagers down", "", "short", (Query("sum(1 - burnline_alertmanager_up{E})"),), (1, 2)
    ),
    Panel("Series", "Kept, of all objectives.", "short", (Query("sum(burnline_series{E})"),)),
)
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Coming in",
        (
            Panel(
                "Spans and points received",
                "In payloads that were acknowledged.",
                "cps",
                (_rates("burnline_received_items_total", "signal"),),
            ),
            Panel(
                "Bytes received",
                "Decompressed.",
                "Bps",
                (_rates("burnline_received_bytes_total", "signal"),),
            ),
            Panel(
                "Payloads refused",
                "busy, full, unavailable: the sender tries again. invalid, too_large: it is lost.",
                "cps",
                (_rates("burnline_refused_payloads_total", "reason"),),
            ),
            Panel(
                "Accepted within",
                "From arrival to acknowledgement.",
                "s",
                _quantiles("burnline_accept_seconds", "signal"),
            ),
            Panel(
                "Commits of the spool",
                "Each one syncs to disk; many payloads share one where many come.",
                "s",
                _quantiles("burnline_spool_commit_seconds"),
            ),
            Panel(
                "Payloads a commit",
                "",
                "short",
                (
                    Query(
                        f"rate(burnline_spool_committed_payloads_total{{E}}{RATE})"
                        f" / rate(burnline_spool_commit_seconds_count{{E}}{RATE})"
                    ),
                ),
            ),
        ),
    ),
    (
        "Deciding",
        (
            Panel(
                "Decided within",
                "From receipt to publication; without replays.",
                "s",
                _quantiles("burnline_decision_seconds"),
            ),
            Panel(
                "Behind",
                "Decisions behind the clock, and the age of what is unread.",
                "s",
                (
                    Query("burnline_lag_seconds{E}", "lag {{instance}}"),
                    Query("burnline_unread_seconds{E}", "unread {{instance}}"),
                ),
            ),
            Panel(
                "Spans and points read",
                "By the flow; more than what is received while it catches up.",
                "cps",
                (_rates("burnline_measured_items_total", "signal"),),
            ),
            Panel(
                "Work by stage",
                "Seconds of work a second; a worker has one.",
                "percentunit",
                (_rates("burnline_flow_seconds_total", "stage"),),
            ),
            Panel(
                "Replays and restarts",
                "1 while what came before a start is read again; restarts of the flow.",
                "short",
                (
                    Query("burnline_replaying{E}", "replaying {{instance}}"),
                    Query("increase(burnline_flow_restarts_total{E}[5m])", "restarts {{instance}}"),
                ),
            ),
            Panel(
                "Series", "Objectives and their groups.", "short", (Query("burnline_series{E}"),)
            ),
        ),
    ),
    (
        "Time of events",
        (
            Panel(
                "Late, by at most",
                "Counted where they belong; 30s is the usual delay of exporters.",
                "cps",
                (_rates("burnline_events_late_total", "age"),),
            ),
            Panel(
                "Not counted",
                "Apart by reason, older than every window, without an end, not to be decoded.",
                "cps",
                (
                    _rates("burnline_events_apart_total", "reason"),
                    _rate("burnline_events_too_late_total", "too late"),
                    _rate("burnline_rejected_items_total", "rejected"),
                    _rate("burnline_undecodable_payloads_total", "undecodable"),
                ),
            ),
            Panel(
                "Skewed",
                "Ahead of their arrival by no more than --skew; counted as if they had just ended.",
                "cps",
                (_rate("burnline_events_skewed_total", ""),),
            ),
            Panel(
                "This machine's clock",
                "How far the engine's time is ahead of it, and how far it is doubted; after it was set.",
                "s",
                (
                    Query("burnline_clock_ahead_seconds{E}", "ahead {{instance}}"),
                    Query("burnline_clock_doubt_seconds{E}", "doubted {{instance}}"),
                ),
            ),
        ),
    ),
    (
        "State",
        (
            Panel(
                "Spool",
                "Bytes of payloads, and how many it may hold.",
                "bytes",
                (
                    Query("burnline_spool_bytes{E}", "held {{instance}}"),
                    Query("burnline_spool_limit_bytes{E}", "limit {{instance}}"),
                ),
            ),
            Panel(
                "Disk",
                "Files of spool and recovery store, and what is free beside them.",
                "bytes",
                (
                    Query("burnline_disk_bytes{E}", "{{what}} {{instance}}"),
                    Query("burnline_disk_free_bytes{E}", "free {{instance}}"),
                ),
            ),
            Panel(
                "Snapshots take",
                "Gathering and pickling; the flow stands still meanwhile.",
                "s",
                _quantiles("burnline_snapshot_seconds"),
            ),
            Panel(
                "Snapshots hold",
                "Only what changed since the one before.",
                "bytes",
                (Query("burnline_snapshot_bytes{E}"),),
            ),
            Panel(
                "Bytes pickled by step",
                "",
                "Bps",
                (_rates("burnline_snapshot_step_bytes_total", "step"),),
            ),
            Panel(
                "Since the last snapshot",
                "So much is read again after a crash.",
                "s",
                (Query("time() - (burnline_snapshot_timestamp_seconds{E} > 0)"),),
            ),
        ),
    ),
    (
        "Going out",
        (
            Panel(
                "Sends to Alertmanager",
                "",
                "cps",
                (
                    Query(
                        "sum by (instance, replica, outcome)"
                        f" (rate(burnline_alertmanager_sends_total{{E}}{RATE}))",
                        "{{replica}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Alertmanagers",
                "1 where the last request succeeded.",
                "short",
                (Query("burnline_alertmanager_up{E}", "{{replica}}"),),
            ),
            Panel("Scrapes take", "", "s", _quantiles("burnline_scrape_seconds")),
            Panel(
                "Spans of its own (--traces)",
                "",
                "cps",
                (_rates("burnline_trace_spans_total", "outcome"),),
            ),
            Panel(
                "Firing",
                "Alerts by severity, of SLOs and of anomalies.",
                "short",
                (
                    Query(
                        'sum by (severity) (ALERTS{E, alertstate="firing", severity!="none"})',
                        "{{severity}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Anomalies",
        (
            Panel(
                "Series watched",
                "Judged, and learnt while too little is known of them.",
                "short",
                (Query("sum by (state) (burnline_anomaly_series{E})", "{{state}}"),),
            ),
            Panel(
                "Readings judged",
                "One a series and interval; in replays too.",
                "cps",
                (_rate("burnline_anomaly_readings_total", ""),),
            ),
            Panel(
                "Incidents",
                "Alerts of anomalies that began in the last hour, by severity.",
                "short",
                (
                    Query(
                        "sum by (severity) (increase(burnline_anomaly_incidents_total{E}[1h]))",
                        "{{severity}}",
                    ),
                ),
            ),
            Panel(
                "Not judged",
                "Events that a monitor watches and that came to no reading, by reason.",
                "cps",
                (_rates("burnline_anomaly_unjudged_events_total", "reason"),),
            ),
        ),
    ),
    (
        "Process",
        (
            Panel("CPU", "Cores.", "short", (_rate("process_cpu_seconds_total", "CPU"),)),
            Panel("Memory", "Resident.", "bytes", (Query("process_resident_memory_bytes{E}"),)),
            Panel(
                "Open files",
                "",
                "short",
                (
                    Query("process_open_fds{E}", "open {{instance}}"),
                    Query("process_max_fds{E}", "most {{instance}}"),
                ),
            ),
        ),
    ),
)


PAGE = Page(
    uid="burnline-engine",
    title="Burnline: the engine",
    text="How the engine itself is: what comes in, how far it has decided, what it keeps.",
    choices=(
        Choice("job", "label_values(burnline_build_info, job)"),
        Choice("instance", 'label_values(burnline_build_info{job=~"$job"}, instance)'),
    ),
    selector='job=~"$job", instance=~"$instance"',
    glance=GLANCE,
    rows=ROWS,
)
