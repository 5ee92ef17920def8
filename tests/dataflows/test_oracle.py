"""The oracle table of the burn-rate arithmetic through the whole dataflow: OTLP spans in, alerts out.

1,000 requests a minute, 0.02 % base errors, 99.9 % over 30 d, one step (and one request) a minute. Each
row of the table is a service of its own, with one SLO without evidence and one with the default.
"""

from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.backtest import run
from engine.recordings.files import Recorded
from slo import load

MINUTE, HOUR, DAY = 60, 3600, 86400
START = 1_700_000_000 // DAY * DAY
REQUESTS = 1000
BASE_EVERY = 5
# Any time: it is replaced in the bytes, by one of the same length.
TEMPLATE_NS = 0x1122334455667788

SLO = """\
  - name: {name}
    objective: 99.9
    window: 30d
    sli:
      spans:
        total: '{{ resource.service.name = "{service}" }}'
        bad: '{{ status = error }}'
    evidence: {evidence}
"""


def _request(service: str, bad: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    name = resource_spans.resource.attributes.add(key="service.name")
    name.value.string_value = service
    scope_spans = resource_spans.scope_spans.add()
    for n in range(REQUESTS):
        span = scope_spans.spans.add(name="chat", end_time_unix_nano=TEMPLATE_NS)
        if n < bad:
            span.status.code = 2
    return request.SerializeToString()


def _minutes(rows: dict[str, tuple[float, int]], history: int, after: int) -> Iterator[Recorded]:
    """One request a minute, all services in it (concatenated messages are one message)."""
    templates: dict[tuple[str, int], bytes] = {}
    old = TEMPLATE_NS.to_bytes(8, "little")
    for minute in range(-history + 1, max(m for _, m in rows.values()) + after + 1):
        time_ns = (START + minute * MINUTE) * 1_000_000_000
        body = b""
        for service, (ratio, minutes) in rows.items():
            base = int(minute % BASE_EVERY == 0)
            bad = round(REQUESTS * ratio) if 1 <= minute <= minutes else base
            if (service, bad) not in templates:
                templates[service, bad] = _request(service, bad)
            body += templates[service, bad].replace(old, time_ns.to_bytes(8, "little"))
        yield Recorded("traces", body, time_ns, f"minute {minute}")


def _found(rows: dict[str, tuple[float, int]], history: int, after: int):
    """(service, evidence or not, severity) -> minutes from the start to the first alert, and the end."""
    text = ""
    for service in rows:
        text += "apiVersion: burnline/v1\n" + f"service: {service}\nslos:\n"
        text += SLO.format(name="plain", service=service, evidence="none")
        text += SLO.format(name="careful", service=service, evidence=95)
        text += "---\n"
    loaded = load({"oracle.yaml": text.removesuffix("---\n")})
    assert not loaded.problems, loaded.problems
    report = run(loaded.objectives, _minutes(rows, history, after))
    by_id = {o.id: o for o in loaded.objectives}
    found = {}
    for alert in report.alerts:
        objective = by_id[alert.series.objective]
        key = (objective.service, objective.name, alert.severity)
        start = (alert.starts_at - START) / MINUTE
        end = alert.ends_at and (alert.ends_at - START) / MINUTE - rows[objective.service][1]
        found[key] = (found.get(key, (start, end))[0], end)
    for outcome in report.outcomes:
        minutes = history + max(m for _, m in rows.values()) + after
        assert outcome.total == REQUESTS * minutes
    return found


def _check(found, expected) -> None:
    starts = {key: at for key, (at, _) in found.items()}
    assert set(starts) == set(expected)
    for key, minutes in expected.items():
        # Pages hold to 10 s, tickets to a bucket (15 min) of their long window.
        assert abs(starts[key] - minutes) * MINUTE <= (10 if key[2] == "page" else 900), key


@pytest.mark.timeout(600)
def test_fast_rows() -> None:
    rows = {"all": (1.0, 10), "some": (0.15, 10), "two": (0.02, 180), "few": (0.003, 15)}
    found = _found(rows, 3 * 24 * 60, 40)
    _check(
        found,
        {
            ("all", "plain", "page"): 1,
            ("all", "plain", "ticket"): 4,
            ("some", "plain", "page"): 6,
            ("two", "plain", "page"): 44,
            ("two", "plain", "ticket"): 175,
            ("all", "careful", "page"): 1,
            ("all", "careful", "ticket"): 4,
            ("some", "careful", "page"): 7,
            ("two", "careful", "page"): 46,
        },
    )
    # The table has the last minute at which a page fires; it is over a minute later, give or take
    # one bucket (30 s).
    for service, minutes in (("all", 29), ("some", 4), ("two", 21)):
        assert abs(found[service, "plain", "page"][1] - minutes - 1) <= 0.5, service


@pytest.mark.timeout(600)
def test_slow_row() -> None:
    found = _found({"slow": (0.005, 2 * 24 * 60)}, 3 * 24 * 60, 1)
    expected = {
        ("slow", "plain", "ticket"): 12 * 60,
        ("slow", "careful", "ticket"): 12 * 60 + 23,
    }
    _check(found, expected)
