"""The dashboard and the alert rules of the engine itself: made as they stand, of metrics that exist."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from engine.telemetry.metrics import SLO_SERIES
from scripts.dashboards import engine
from scripts.metrics_page import engine_rows

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus-rules.yml"
ALERTS = {
    rule["alert"]: rule for g in yaml.safe_load(RULES.read_text())["groups"] for rule in g["rules"]
}
# Shown only where something is configured that a test of the engine alone has not.
ABSENT = {"burnline_remote_write_failures_total"}


class Case(NamedTuple):
    """Series (a value a minute) under which an alert fires after minutes, and some where it does not."""

    fires: dict[str, str]
    after: int
    quiet: dict[str, str]


def _of(name: str, labels: str = "") -> str:
    return f'{name}{{job="burnline",instance="a"{labels and "," + labels}}}'


LATE = _of("burnline_events_late_total", 'signal="traces",age="1h"')
ON_TIME = _of("burnline_events_late_total", 'signal="traces",age="30s"')
MEASURED = _of("burnline_measured_items_total", 'signal="traces"')
FUTURE = _of("burnline_events_apart_total", 'reason="future"')
REFUSED = 'signal="traces",protocol="http",reason='
SPOOL, LIMIT = _of("burnline_spool_bytes"), _of("burnline_spool_limit_bytes")
CASES = {
    "BurnlineDown": Case({_of("up"): "1x3 0x5"}, 8, {_of("up"): "1x9"}),
    "BurnlineNotReady": Case(
        {_of("burnline_build_info", 'version="1"'): "1x15"},
        12,
        {
            _of("burnline_build_info", 'version="1"'): "1x15",
            _of("burnline_slo_decided_timestamp_seconds"): "1x15",
        },
    ),
    "BurnlineNotDeciding": Case(
        {_of("burnline_lag_seconds"): "31x9", _of("burnline_replaying"): "0x9"},
        5,
        {_of("burnline_lag_seconds"): "3600x9", _of("burnline_replaying"): "1x9"},
    ),
    "BurnlineReplayLong": Case(
        {_of("burnline_replaying"): "1x20"}, 18, {_of("burnline_replaying"): "1x10 0x10"}
    ),
    "BurnlineSlow": Case(
        {
            _of("burnline_decision_seconds_bucket", 'le="5"'): "0+90x30",
            _of("burnline_decision_seconds_bucket", 'le="10"'): "0+100x30",
            _of("burnline_decision_seconds_bucket", 'le="+Inf"'): "0+100x30",
        },
        25,
        {
            _of("burnline_decision_seconds_bucket", 'le="5"'): "0+100x30",
            _of("burnline_decision_seconds_bucket", 'le="10"'): "0+100x30",
            _of("burnline_decision_seconds_bucket", 'le="+Inf"'): "0+100x30",
        },
    ),
    "BurnlineFlowRestarts": Case(
        {_of("burnline_flow_restarts_total"): "0+1x10"},
        10,
        {_of("burnline_flow_restarts_total"): "0 1x20"},
    ),
    "BurnlineRefusing": Case(
        {_of("burnline_refused_payloads_total", REFUSED + '"full"'): "0+9x20"},
        15,
        {_of("burnline_refused_payloads_total", REFUSED + '"invalid"'): "0+9x20"},
    ),
    "BurnlineBadPayloads": Case(
        {_of("burnline_refused_payloads_total", REFUSED + '"invalid"'): "0+9x30"},
        25,
        {_of("burnline_refused_payloads_total", REFUSED + '"full"'): "0+9x30"},
    ),
    "BurnlineSpoolFilling": Case(
        {SPOOL: "2e9+3e7x40", LIMIT: "4e9x40"}, 35, {SPOOL: "2e9+1e6x40", LIMIT: "4e9x40"}
    ),
    "BurnlineDiskLow": Case(
        {_of("burnline_disk_free_bytes"): "9e9-4e7x60"},
        50,
        {_of("burnline_disk_free_bytes"): "9e10-4e8x60"},
    ),
    "BurnlinePayloadsLost": Case(
        {_of("burnline_spool_lost_payloads_total"): "0 0 3x9"},
        5,
        {_of("burnline_spool_lost_payloads_total"): "3x9"},
    ),
    "BurnlineUndecodable": Case(
        {_of("burnline_undecodable_payloads_total", 'signal="traces"'): "0 0 1x9"},
        5,
        {_of("burnline_undecodable_payloads_total", 'signal="traces"'): "1x9"},
    ),
    "BurnlineKafkaUnreadable": Case(
        {_of("burnline_kafka_unreadable_partitions", 'topic="t"'): "1x9"},
        8,
        {_of("burnline_kafka_unreadable_partitions", 'topic="t"'): "1x3 0x6"},
    ),
    "BurnlineKafkaBehind": Case(
        {_of("burnline_kafka_lag_seconds", 'topic="t"'): "400x20"},
        15,
        {_of("burnline_kafka_lag_seconds", 'topic="t"'): "400x8 10x12"},
    ),
    "BurnlineKafkaMessagesLost": Case(
        {_of("burnline_kafka_lost_messages_total", 'topic="t"'): "0 0 7x9"},
        5,
        {_of("burnline_kafka_lost_messages_total", 'topic="t"'): "7x9"},
    ),
    "BurnlineAlertmanagerDown": Case(
        {_of("burnline_alertmanager_up", 'replica="r"'): "0x9"},
        8,
        {_of("burnline_alertmanager_up", 'replica="r"'): "0x2 1x9"},
    ),
    "BurnlineNoAlertmanager": Case(
        {
            _of("burnline_alertmanager_up", 'replica="r"'): "0x9",
            _of("burnline_alertmanager_up", 'replica="s"'): "0x9",
        },
        5,
        {
            _of("burnline_alertmanager_up", 'replica="r"'): "0x9",
            _of("burnline_alertmanager_up", 'replica="s"'): "1x9",
        },
    ),
    "BurnlineAlertRefused": Case(
        {_of("burnline_alertmanager_refused_alerts_total", 'replica="r"'): "0 0 1x9"},
        5,
        {_of("burnline_alertmanager_refused_alerts_total", 'replica="r"'): "1x9"},
    ),
    "BurnlineRemoteWriteFailing": Case(
        {_of("burnline_remote_write_failures_total"): "0+1x30"},
        20,
        {_of("burnline_remote_write_failures_total"): "0+1x5 5x25"},
    ),
    "BurnlineReloadFailed": Case(
        {_of("burnline_config_last_reload_successful"): "0x9"},
        8,
        {_of("burnline_config_last_reload_successful"): "1x9"},
    ),
    "BurnlineEventsFromTheFuture": Case(
        {FUTURE: "0+20x30", MEASURED: "0+1000x30"}, 25, {FUTURE: "0+5x30", MEASURED: "0+1000x30"}
    ),
    "BurnlineEventsLate": Case(
        {LATE: "0+100x80", MEASURED: "0+1000x80"}, 70, {ON_TIME: "0+999x80", MEASURED: "0+1000x80"}
    ),
    "BurnlineEventsTooLate": Case(
        {_of("burnline_events_too_late_total"): "0 0 7x9"},
        5,
        {_of("burnline_events_too_late_total"): "7x9"},
    ),
    "BurnlineClockJumps": Case(
        {_of("burnline_clock_jumps_total"): "0 0 1x9"},
        5,
        {_of("burnline_clock_jumps_total"): "1x9"},
    ),
    "BurnlineSourceSilent": Case(
        {_of("burnline_source_silent", 'signal="traces"'): "1x20"},
        15,
        {_of("burnline_source_silent", 'signal="traces"'): "1x5 0x15"},
    ),
    "BurnlineSnapshotsSlow": Case(
        {
            _of("burnline_snapshot_seconds_sum"): "0+9x40",
            _of("burnline_snapshot_seconds_count"): "0+6x40",
        },
        30,
        {
            _of("burnline_snapshot_seconds_sum"): "0+3x40",
            _of("burnline_snapshot_seconds_count"): "0+6x40",
        },
    ),
    "BurnlineSnapshotsStopped": Case(
        {
            _of("burnline_snapshot_timestamp_seconds"): "1x20",
            _of("burnline_snapshot_interval_seconds"): "10x20",
        },
        15,
        {
            _of("burnline_snapshot_timestamp_seconds"): "1x20",
            _of("burnline_snapshot_interval_seconds"): "300x20",
        },
    ),
    "BurnlineSeriesOverflow": Case(
        {_of("burnline_slo_overflowing", 'sloth_id="s"'): "1x20"},
        18,
        {_of("burnline_slo_overflowing", 'sloth_id="s"'): "0x20"},
    ),
    "BurnlineAnomaliesFailing": Case(
        {_of("burnline_anomaly_failures_total"): "0 0 1x9"},
        5,
        {_of("burnline_anomaly_failures_total"): "1x9"},
    ),
    "BurnlineAlertBookFailing": Case(
        {_of("burnline_alert_book_failures_total"): "0 0 1x9"},
        5,
        {_of("burnline_alert_book_failures_total"): "1x9"},
    ),
}


def _known() -> set[str]:
    """Every series of the engine, as Prometheus has it."""
    names = {row.name for row in engine_rows()} | {s.name for s in SLO_SERIES} | ABSENT
    names |= {f"{s.name}_total" for s in SLO_SERIES if s.type == "counter"}
    histograms = [row.name for row in engine_rows() if row.type == "histogram"]
    return names | {f"{h}_{end}" for h in histograms for end in ("bucket", "sum", "count")}


def test_dashboard_and_rules_name_series_that_exist() -> None:
    texts = [*engine.PAGE.queries, *(rule["expr"] for rule in ALERTS.values())]
    named = {name for text in texts for name in re.findall(r"\bburnline_\w+", text)}
    assert len(named) > 40
    assert named - _known() == set()


def test_every_alert_says_what_to_do() -> None:
    for rule in ALERTS.values():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in ("page", "ticket")
    page = (ROOT / "docs" / "operating.md").read_text()
    assert [name for name in ALERTS if f"`{name}`" not in page] == []


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.servers
@pytest.mark.parametrize("alert", CASES)
def test_alerts_fire_when_they_should_and_only_then(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in series.items()],
            "promql_expr_test": [
                {"expr": firing, "eval_time": f"{case.after}m", "exp_samples": want}
            ],
        }
        for series, want in (
            (case.fires, [{"labels": "{}", "value": 1}]),
            (case.quiet, []),
        )
    ]
    path = tmp_path / "test.yml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
    )
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    ran = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
