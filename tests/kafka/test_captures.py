"""What a Collector wrote to Kafka, as it is kept: the engine counts in it what its application told."""

from collections import Counter

import pytest

from engine.columns import log_events, otlp_json
from engine.columns.measure import Measurer
from engine.spool.arrivals import Arrivals
from slo import load
from slo.messages import Deposit
from tests.kafka.captures import Captured, captured
from tests.kafka.said import EVENTS, MESSAGES, SLOS

TO_PROTOBUF = {
    "traces": otlp_json.traces_to_protobuf,
    "metrics": otlp_json.metrics_to_protobuf,
    "logs": otlp_json.logs_to_protobuf,
}
KEPT = list(captured())


def _deposits(message: Captured) -> list[Deposit]:
    value = message.value
    if message.encoding == "otlp_json":
        value = TO_PROTOBUF[message.signal](value)
    if message.signal == "logs":
        value = log_events.events(value).body
    measurer = Measurer(load({"slos.yaml": SLOS}).objectives, 1, 300)
    which = "metrics" if message.signal == "metrics" else "traces"
    return [deposit for _, deposit in measurer.measure(Arrivals(2e9, **{which: (value,)}))]


@pytest.mark.parametrize("exporter", sorted({one.exporter for one in KEPT}))
def test_events_are_those_that_were_told(exporter):
    found: Counter[tuple[str, str]] = Counter()
    kept = [one for one in KEPT if one.exporter == exporter]
    last = [one for one in kept if one.signal == "metrics"][-1]  # each holds all: they are sums
    for message in (one for one in kept if one.signal != "metrics" or one is last):
        for deposit in _deposits(message):
            found.update(_events(deposit))
    told = {
        (name, result): n
        for name, pair in EVENTS.items()
        for result, n in zip(("good", "bad"), pair, strict=True)
        if n
    }
    assert found == told


def test_there_are_captures_of_everything_that_changes_what_is_written():
    found = Counter((one.exporter, one.signal) for one in KEPT)
    for encoding in ("otlp_proto", "otlp_json"):
        for signal, messages in MESSAGES.items():
            assert found[f"{encoding}-none", signal] == messages
            # One for each trace, where traces are kept together.
            assert found[f"{encoding}-split", signal] == (2 if signal == "traces" else messages)
    assert all(bool(one.key) == one.exporter.endswith("split") for one in KEPT)


def _events(deposit: Deposit) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row, (bad, total) in zip(
        deposit.entries.rows, deposit.entries.counts.tolist(), strict=True
    ):
        name = deposit.keys[row].objective.removeprefix("chat-api-")
        found.update({(name, "bad"): bad, (name, "good"): total - bad})
    totals: Counter[tuple[str, str]] = Counter()
    for point in deposit.points:
        name = point.objective.removeprefix("chat-api-")
        if point.role == "histogram":
            total, bad = point.value
            totals.update({(name, "total"): total, (name, "bad"): bad})
        else:
            totals[name, point.role] += point.value
    for name in {name for name, _ in totals}:
        bad = totals[name, "bad"]
        found.update({(name, "bad"): bad, (name, "good"): totals[name, "total"] - bad})
    return +found
