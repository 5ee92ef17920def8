"""What a backtest says of anomalies: recorded spans through the whole flow, to the report.

A bound stands in for the default detector, which learns for longer than this recording is (see
`tests.end_to_end.impatient`).
"""

import json
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from rich.console import Console

from dataflows.backtest import Report
from dataflows.cli import main
from dataflows.reporting import as_json, print_report
from slo.anomalies import detecting
from slo.decision import SeriesKey
from tests.dataflows import recorded
from tests.end_to_end.impatient import BOUND, Bound
from tests.engine.sinks.boards import alert, objective
from tests.strategies.readings import NOW, incident

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 90
    sli: {spans: {total: '{}', bad: '{ status = error }'}}
anomalies:
  - name: models
    spans: '{}'
    by: [span.model]
    watch: [{quantile: 50, of: duration}, errors]
"""
START = 1_790_000_040
SLOW_FROM, SLOW_TO, MINUTES = 20, 25, 50


def _request(minute: int) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    slow = SLOW_FROM <= minute < SLOW_TO
    for number in range(20):
        model = ("m1", "m2")[number % 2]
        ended = (START + 60 * minute + number) * 10**9
        seconds = BOUND * 2 if slow and model == "m1" else 0.5
        span = spans.add(
            trace_id=bytes([minute, number] * 8),
            span_id=bytes([1 + number] * 8),
            start_time_unix_nano=int(ended - seconds * 1e9),
            end_time_unix_nano=ended,
        )
        span.attributes.add(key="model").value.string_value = model
        if slow and minute > SLOW_FROM:
            span.status.code = Status.STATUS_CODE_ERROR
    return request


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(detecting, "Bank", Bound)
    requests = map(_request, range(MINUTES))
    (tmp_path / "traces.jsonl").write_bytes(recorded.json_lines(requests))
    (tmp_path / "slos.yaml").write_text(SLOS)
    return tmp_path


def _backtest(folder: Path, *more: str) -> str:
    command = ["backtest", "--slos", str(folder / "slos.yaml")]
    command += ["--data", str(folder / "traces.jsonl"), *more]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_incident_is_in_the_report_for_programs(folder: Path) -> None:
    [found] = json.loads(_backtest(folder, "--json"))["incidents"]
    cause = found["first_cause"]
    assert (found["service"], found["severity"], found["monitor"]) == (
        "chat-api",
        "ticket",
        "chat-api-models",
    )
    assert (cause["feature"], cause["group"], cause["unit"]) == (
        "p50_duration",
        {"span.model": "m1"},
        "s",
    )
    assert cause["since"] == "2026-09-21T14:34:00.000Z"
    assert cause["value"] == pytest.approx(10.0, rel=0.02)
    # The band is that of a median of so few events, and so wider than the detector's.
    assert cause["lower"] == 0.0
    assert 1.0 <= cause["expected"] < BOUND < cause["upper"] < cause["value"]
    assert cause["unusual"] == "less than once in 10 years"
    assert found["count"] == 1
    assert found["starts_at"] < found["ends_at"]
    assert found["burning"] == "chat-api-availability"
    assert found["page_at"] > found["starts_at"]
    # The medians are of even traffic: the ids are of m1's spans in a slow minute.
    assert {bytes.fromhex(id_)[0] for id_ in found["trace_ids"]} <= set(range(SLOW_FROM, SLOW_TO))


def test_and_for_people(folder: Path) -> None:
    text = _backtest(folder)
    assert "ticket  chat-api p50_duration (span.model=m1) was " in text
    assert "less than once in 10 years at this rate" in text
    assert "a page from 2026-09-21 14:" in text
    assert "as chat-api-availability burns" in text


def test_nothing_is_watched_where_that_is_off(folder: Path) -> None:
    assert json.loads(_backtest(folder, "--json", "--anomalies", "off"))["incidents"] == []


def _text(report: Report) -> str:
    out = StringIO()
    slo = objective()
    print_report(report, {slo.id: slo}, Console(file=out, width=100))
    return out.getvalue()


def test_what_still_goes_on_and_what_stayed_are_told() -> None:
    text = _text(Report(incidents=[incident(count=4)], requests=1))
    assert "still firing" in text
    assert "3 more series with it" in text
    assert "No alerts" not in text
    stays = incident().members[0]._replace(stays=True, active=False)
    text = _text(Report(incidents=[incident(ends_at=NOW + 900, members=(stays,))], requests=1))
    assert "the new level was taken for normal" in text


@pytest.mark.parametrize(
    ("mine", "burning"),
    [
        (incident(ends_at=NOW + 100), True),
        (incident(), True),
        (incident(ends_at=NOW + 40), False),
        (incident(starts_at=NOW + 200), False),
        (incident(service="billing"), False),
        (incident(severity="page"), True),
    ],
)
def test_only_a_burn_of_its_service_and_time_makes_it_a_page(mine, burning) -> None:
    slo = objective()
    burn = alert(SeriesKey(slo.id, (), slo.generation), starts_at=NOW + 50, ends_at=NOW + 200)
    report = Report(alerts=[burn], incidents=[mine])
    [found] = as_json(report, {slo.id: slo})["incidents"]
    assert (found["burning"] == slo.id) is burning
    assert ("a page from" in _text(report)) is (burning and mine.severity == "ticket")
