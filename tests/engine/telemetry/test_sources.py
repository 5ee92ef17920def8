"""What is shown and told of sources that fall silent."""

from dataclasses import replace

import pytest

from engine.telemetry.metrics import EngineMetrics
from engine.telemetry.sources import Sources
from slo import CounterSli, parse_selector
from tests.engine.sinks.boards import NOW, decision, objective

SPANS = objective()
COUNTS = objective("counts", sli=CounterSli(parse_selector("a"), bad=parse_selector("b")))


class Watched:
    def __init__(self, *objectives):
        self.metrics = EngineMetrics()
        self.sources = Sources(self.metrics, lambda: {o.id: o for o in objectives}, 60.0)

    def decide(self, clock, traces=0.0, metrics=0.0, **fields):
        made = decision({}, clock=clock, **fields)
        self.sources.take(replace(made, watermarks=(traces, metrics)))

    def silent(self, signal="traces"):
        return self._value("burnline_source_silent", signal)

    def arrived(self, signal="traces"):
        return self._value("burnline_source_last_arrival_timestamp_seconds", signal)

    def _value(self, name, signal):
        return self.metrics.registry.get_sample_value(name, {"signal": signal})


def test_a_source_that_falls_silent_is_told_once_and_when_it_is_heard_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watched = Watched(SPANS)
    for second in range(300):
        for shard in ("0", "1"):
            watched.decide(NOW + second, NOW, shard=shard)
    assert (watched.silent(), watched.arrived()) == (1, NOW)
    told = capsys.readouterr().out
    assert told.count("a source is silent") == 1
    assert "1 min 1 s ago" in told
    watched.decide(NOW + 300, NOW + 300)
    assert (watched.silent(), watched.arrived()) == (0, NOW + 300)
    watched.decide(NOW + 301, NOW + 300, shard="1")
    told = capsys.readouterr().out
    assert told.count("a source is heard again") == 1
    assert "5 min" in told
    # A shard that has not heard of it yet takes nothing back.
    watched.decide(NOW + 302, NOW, shard="1")
    assert watched.arrived() == NOW + 300


def test_a_start_gives_sources_their_time_before_the_log_complains(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watched = Watched(SPANS, COUNTS)
    watched.decide(NOW, NOW - 86400, 0.0)
    # Its alerts are frozen already.
    assert (watched.silent(), watched.silent("metrics")) == (1, 1)
    assert (watched.arrived(), watched.arrived("metrics")) == (NOW - 86400, 0)
    watched.decide(NOW + 59, NOW + 30, 0.0)
    assert capsys.readouterr().out == ""
    watched.decide(NOW + 61, NOW + 30, 0.0)
    told = capsys.readouterr().out
    assert told.count("a source is silent") == 1
    assert "never" in told
    watched.decide(NOW + 90, NOW + 30, NOW + 90)
    assert "a source is heard again" in capsys.readouterr().out
    assert watched.silent("metrics") == 0


def test_what_no_slo_reads_and_what_is_replayed_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watched = Watched(SPANS)
    watched.decide(NOW, NOW, live=False)
    assert watched.silent() is None
    watched.decide(NOW, NOW)
    watched.decide(NOW + 100, NOW + 100)
    assert watched.silent() == 0
    assert watched.silent("metrics") is None
    assert capsys.readouterr().out == ""
