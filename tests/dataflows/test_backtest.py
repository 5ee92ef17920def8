"""`burnline backtest`: one recording in every form, against counts made one call at a time."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console

from dataflows.backtest import Report, run
from dataflows.cli import main
from dataflows.reporting import as_json, print_report
from engine.recordings._signals import newest
from engine.recordings.files import Recorded
from slo import load
from slo.decision import budget_remaining
from tests.dataflows import recorded

BURNLINE = Path(sys.executable).parent / "burnline"
TRACES, METRICS = recorded.traces(), recorded.metrics()
TARGETS = {
    slo["name"]: Fraction(str(slo["objective"])) / 100
    for slo in yaml.safe_load(recorded.SLOS)["slos"]
}
# What issue 2 promises.
ALERT_KEYS = {
    *("slo", "service", "severity", "group", "starts_at", "ends_at", "short", "long"),
    *("burn_short", "burn_long", "budget_remaining"),
}
OBJECTIVE_KEYS = {"slo", "service", "group", "total", "bad", "sli", "budget_remaining"}
_TIME = re.compile(r"2026-06-0[12]T\d\d:\d\d:\d\d\.\d{3}Z")


PLAIN = """\
apiVersion: burnline/v1
service: s
slos:
  - name: o
    objective: 99
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording")
    (path / "slos.yaml").write_text(recorded.SLOS)
    for (form, write), (suffix, pack) in itertools.product(
        recorded.FORMS.items(), recorded.PACKS.items()
    ):
        (path / f"traces.{form}{suffix}").write_bytes(pack(write(TRACES)))
        (path / f"metrics.{form}{suffix}").write_bytes(pack(write(METRICS)))
    return path


def backtest(folder: Path, *arguments: str) -> Any:
    command = ["backtest", "--slos", str(folder / "slos.yaml"), *arguments, "--json"]
    result = CliRunner().invoke(main, command)
    if result.exception:
        raise result.exception
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def report(folder: Path) -> Any:
    data = ("--data", str(folder / "traces.jsonl"), "--data", str(folder / "metrics.jsonl"))
    return backtest(folder, *data)


def test_counts_are_those_of_a_count_by_hand(report: Any) -> None:
    expected = recorded.expected()
    found = {(o["slo"], tuple(o["group"].items())): o for o in report["objectives"]}
    assert {key: (o["bad"], o["total"]) for key, o in found.items()} == expected
    assert len(found) == len(report["objectives"])
    for (slo, _), o in found.items():
        bad, total = o["bad"], o["total"]
        assert o["sli"] == (1 - bad / total if total else None)
        assert o["budget_remaining"] == budget_remaining(TARGETS[slo], bad, total)
    assert (report["refused"], report["apart"]) == (0, {})
    assert report["requests"] == len(TRACES) + len(METRICS)


def test_the_object_has_the_keys_that_were_promised(report: Any) -> None:
    assert {"alerts", "objectives"} <= set(report)
    assert report["alerts"]
    for alert in report["alerts"]:
        assert set(alert) >= ALERT_KEYS
        assert set(alert) - ALERT_KEYS == {"factor", "slices", "errors", "trace_ids"}
        assert alert["severity"] in ("page", "ticket")
    for objective in report["objectives"]:
        assert set(objective) == OBJECTIVE_KEYS
        assert objective["service"] == "chat-api"
    assert [o["slo"] for o in report["objectives"]] == sorted(
        (o["slo"] for o in report["objectives"]), key=list(TARGETS).index
    )


def test_times_are_rfc_3339(report: Any) -> None:
    entries = [*report["alerts"], *report["budget_events"]]
    times = [entry[name] for entry in entries for name in ("starts_at", "ends_at")]
    assert any(time is None for time in times)
    for time in (*filter(None, times), report["from"], report["to"]):
        assert _TIME.fullmatch(time)
    assert (report["from"], report["to"]) == (
        "2026-06-01T21:30:00.000Z",
        "2026-06-01T23:00:00.000Z",
    )
    starts = [alert["starts_at"] for alert in report["alerts"]]
    assert starts == sorted(starts)


def test_the_incident_is_found_with_its_slice(report: Any) -> None:
    burning = {recorded.MODEL: "m1", recorded.TENANT: "acme"}
    (page,) = [a for a in report["alerts"] if a["slo"] == "grouped" and a["group"] == burning]
    (ticket,) = [a for a in report["alerts"] if a["slo"] == "chat"]
    assert (page["severity"], ticket["severity"]) == ("page", "ticket")
    for alert in (page, ticket):
        assert "2026-06-01T22:30:00" <= alert["starts_at"] < "2026-06-01T22:40:00"
    assert ticket["slices"][0]["values"] == burning
    assert 60 <= ticket["slices"][0]["bad"] <= ticket["slices"][0]["total"]


@pytest.mark.parametrize("suffix", recorded.PACKS)
@pytest.mark.parametrize("form", recorded.FORMS)
def test_every_form_gives_the_same_report(
    folder: Path, report: Any, form: str, suffix: str
) -> None:
    names = [str(folder / f"{signal}.{form}{suffix}") for signal in ("traces", "metrics")]
    assert backtest(folder, "--data", *names) == report


def test_files_in_any_order_given_in_any_way(folder: Path, report: Any) -> None:
    """Traces in two files, in turns, and metrics in a third; three forms."""
    names = [str(folder / name) for name in ("odd.pb", "even.pb.zst", "metrics.jsonl.gz")]
    (folder / "odd.pb").write_bytes(recorded.delimited(TRACES[::2]))
    even = recorded.PACKS[".zst"](recorded.four_bytes(TRACES[1::2]))
    (folder / "even.pb.zst").write_bytes(even)
    a, b, c = names
    for given in (
        ("--data", a, b, c),
        ("--data", c, b, a),
        ("--data", b, "--data", c, "--data", a),
    ):
        assert backtest(folder, *given) == report
    assert backtest(folder, "--data", c, "--data", a, b) == report


def test_the_command_itself(folder: Path, report: Any) -> None:
    """A process: the object alone on standard output, nothing on standard error."""
    names = [folder / "traces.four.zst", folder / "metrics.varint"]
    command = [BURNLINE, "backtest", "--slos", folder / "slos.yaml", "--json", "--data", *names]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == report
    assert ran.stdout.count("\n") == 1


def test_text_at_80_columns(folder: Path, report: Any) -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    names = [folder / "traces.jsonl", folder / "metrics.jsonl"]
    command = [BURNLINE, "backtest", "--slos", folder / "slos.yaml", "--data", *names]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    head, table = ran.stdout.split("\nObjectives")
    assert head.startswith("361 requests from 2026-06-01 21:30:00Z to 2026-06-01 23:00:00Z\n")
    for alert in report["alerts"]:
        started = alert["starts_at"].replace("T", " ").replace(".000", "")
        assert re.search(
            rf"^{alert['severity']} +chat-api-{alert['slo']}.* {started}", head, re.MULTILINE
        )
    assert "burning: span.gen_ai.request.model=m1 span.tenant.id=acme (" in head

    # The table fits, and nothing in it is cut off or torn apart but the names of groups.
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    rows = [line.split() for line in table.splitlines() if line.lstrip().startswith("chat-api-")]
    assert [row[0].removeprefix("chat-api-") for row in rows] == [
        o["slo"] for o in report["objectives"]
    ]
    for row, o in zip(rows, report["objectives"], strict=True):
        assert row[1:3] == [f"{o['total']:,}", f"{o['bad']:,}"]
        assert row[-1] == f"{o['budget_remaining']:.1%}"
    folded = re.sub(r"\s", "", table)
    assert f"{recorded.MODEL}=m1" in folded
    assert "span.tenant.id=(none)" in table


def test_markup_in_values_is_text(tmp_path: Path) -> None:
    """A group's value may look like the terminal library's markup."""
    (tmp_path / "slos.yaml").write_text(recorded.SLOS)
    request = recorded.traces()[0]
    request.resource_spans[0].scope_spans[0].spans[0].attributes[1].value.string_value = "[/x]"
    (tmp_path / "data").write_bytes(recorded.four_bytes([request]))
    command = ["backtest", "--slos", str(tmp_path / "slos.yaml"), "--data", str(tmp_path / "data")]
    result = CliRunner().invoke(main, command, env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "span.gen_ai.request.model=[/x]" in result.stdout


def test_what_is_not_counted_is_told() -> None:
    report = Report(requests=3, refused=[("traces", "no [/end]")], apart=Counter(future=1200))
    output = StringIO()
    print_report(report, {}, Console(file=output, width=80))
    assert "not decoded: a traces request: no [/end]\n" in output.getvalue()
    assert "counted apart: 1,200 (future)\n" in output.getvalue()


def test_a_broken_time_does_not_carry_the_clock_away() -> None:
    request = ExportTraceServiceRequest()
    spans_of = request.resource_spans.add().scope_spans.add().spans
    for second in range(600):
        spans_of.add(end_time_unix_nano=(1_700_000_000 + second) * 10**9)
    spans_of.add(end_time_unix_nano=2**64 - 1)
    body = request.SerializeToString()
    assert newest("traces", body) == 1_700_000_599 * 10**9
    (objective,) = load({"a.yaml": PLAIN}).objectives
    report = run([objective], [Recorded("traces", body, newest("traces", body), "a")])
    assert [outcome.total for outcome in report.outcomes] == [600]
    assert report.apart == {"future": 1}


def _traces(*ended: int) -> list[Recorded]:
    """Requests of one span each, by the second in which it ended."""
    requests = []
    for second in ended:
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.add(
            end_time_unix_nano=second * recorded.NS
        )
        body = request.SerializeToString()
        requests.append(Recorded("traces", body, second * recorded.NS, "a"))
    return requests


def test_missing_traffic_is_told_also_where_nothing_at_all_was_recorded() -> None:
    objectives = load({"f": PLAIN.replace("sli:", "absent: 15m\n    sli:")}).objectives
    start = recorded.START
    report = run(objectives, _traces(start, start + 60, start + 7200, start + 7260))
    ((alert,), (objective,)) = report.absences, objectives
    assert report.alerts == []
    assert (alert.starts_at, alert.ends_at) == (start + 60 + 901, start + 7200)
    data = as_json(report, {objective.id: objective})
    assert data["absences"] == [
        {
            "slo": "o",
            "service": "s",
            "severity": "page",
            "absent_since": "2026-06-01T21:31:00.000Z",
            "starts_at": "2026-06-01T21:46:01.000Z",
            "ends_at": "2026-06-01T23:30:00.000Z",
        }
    ]
    text = StringIO()
    print_report(report, {objective.id: objective}, Console(file=text, width=80))
    assert "No alerts" not in text.getvalue()
    assert "page    s-o: 2026-06-01 21:46:01Z to 2026-06-01 23:30:00Z" in text.getvalue()
    assert "no traffic since 2026-06-01 21:31:00Z" in text.getvalue()
