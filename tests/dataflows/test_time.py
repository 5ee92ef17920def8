"""From spool to decision under clocks that are wrong: no page, and no end of one, by the clock alone."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.columns.measure import Measurer
from engine.spool.clock import SECOND_NS
from engine.spool.spool import Spool
from engine.spool.spool_source import SpoolPartition
from slo.burn import resolve_tiers
from slo.decision import Decision
from slo.model import Objective, RollingWindow, SpanSli
from slo.plan import Plan
from slo.traceql import parse_filter
from tests.engine.spool.clocks import HOUR, World
from tests.strategies.shards import Shard

TARGET = Fraction(99, 100)
MONTH = Objective(
    service="s",
    name="month",
    target=TARGET,
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
    tiers=resolve_tiers(TARGET, 30 * 86400)[0],
)
WAIT = 20


class Live:
    """One engine's way of the data, in a world whose clock can be set; one export a second."""

    def __init__(self, path: Path) -> None:
        self.world = World()
        self.apart: dict[str, int] = {}
        self.spool = Spool(path, clock=self.world.clock())
        plan = Plan((MONTH,), shards=1)
        self.partition = SpoolPartition(self.spool, lambda: False, None)
        self.measurer = Measurer(plan.objectives, 1, plan.skew, apart=self._apart)
        self.shard = Shard(plan)
        self.decisions: list[Decision] = []

    def _apart(self, reason: str, count: int) -> None:
        self.apart[reason] = self.apart.get(reason, 0) + count

    def seconds(
        self, seconds: int, *, bad: int = 0, off: int | None = None, silent: bool = False
    ) -> None:
        """Let seconds pass; each brings ten spans that end now by a clock that is `off`; ours if not told."""
        for _ in range(seconds):
            self.world.passed += SECOND_NS
            if not silent:
                end = self.world.wall() if off is None else self.world.wall() - self.world.off + off
                self.spool.append("traces", _request(end, bad)).result(WAIT)
            for arrivals in self.partition.next_batch():
                for _shard, deposit in self.measurer.measure(arrivals):
                    self.decisions += self.shard.run([deposit])

    def total(self, window: int = 30 * 86400) -> int:
        decision = self.decisions[-1]
        return int(decision.total[0, decision.windows.index(window)])

    def pages(self) -> list[float]:
        return [a.starts_at for a in self.decisions[-1].alerts if a.severity == "page"]

    def ends(self) -> list[float]:
        return [a.ends_at for d in self.decisions for a in d.ended if a.severity == "page"]


def _request(end_ns: int, bad: int) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n in range(10):
        scope.spans.add(end_time_unix_nano=end_ns).status.code = 2 if n < bad else 0
    return request.SerializeToString()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    made = Live(tmp_path / "spool.db")
    yield made
    made.spool.close()


@pytest.mark.parametrize("off", [24 * HOUR, HOUR, 40 * 86400 * SECOND_NS, -HOUR, -24 * HOUR])
@pytest.mark.parametrize("senders", ["step with us", "stay right"])
def test_a_clock_that_is_wrong_for_a_moment_moves_no_window_and_no_page(
    live: Live, off: int, senders: str
) -> None:
    live.seconds(60)
    live.seconds(120, bad=9)
    (start,) = live.pages()
    live.world.off = off
    live.seconds(20, bad=9, off=0 if senders == "stay right" else None)
    live.world.off = 0
    live.seconds(60, bad=9)
    assert live.pages() == [start]
    assert live.ends() == []
    assert live.apart == {}
    # All is in the month; those that went back with the clock may be too old for a shorter window.
    assert live.total() == 2600
    assert live.total(300) >= 2600 - 10 * 20


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_after_a_step_that_stays_pages_start_and_end_as_ever(live: Live, off: int) -> None:
    live.seconds(60)
    live.world.off = off
    live.seconds(400)
    assert live.pages() == []
    live.seconds(60, bad=9)
    (start,) = live.pages()
    live.seconds(60, bad=9)
    assert live.pages() == [start]
    assert live.apart == {}
    assert live.total() == 10 * 580
    began = live.decisions[-1].clock
    live.seconds(2 * 1800)
    assert live.pages() == []
    (end,) = live.ends()
    # At half pace at the longest, while it catches up with a clock that was set back.
    assert 240 < end - began < 1800


def test_a_step_back_does_not_blind_the_short_windows(live: Live) -> None:
    """After the doubt, what comes is placed at the engine's now, and the five minutes fill."""
    live.seconds(60)
    live.world.off = -2 * HOUR
    live.seconds(30 + 300)
    assert live.total(300) >= 10 * 295


def test_an_engine_that_slept_for_an_hour_freezes_and_goes_on(live: Live) -> None:
    live.seconds(60)
    live.seconds(120, bad=9)
    (start,) = live.pages()
    live.world.passed += HOUR
    live.seconds(3, silent=True)
    assert live.decisions[-1].frozen.all()
    assert live.pages() == [start]
    live.seconds(5, bad=9)
    assert live.pages() == [start]
    assert live.ends() == []


def test_events_from_the_future_are_counted_apart_and_those_within_the_skew_as_now(
    live: Live,
) -> None:
    live.seconds(10, off=HOUR)
    assert live.apart == {"future": 100}
    live.seconds(10, off=25 * SECOND_NS)
    assert live.total(300) == 100
    for late in (60, 3600, 86400, 29 * 86400):
        live.seconds(1, off=-late * SECOND_NS)
    assert [live.total(w) for w in (300, 7200, 3 * 86400, 30 * 86400)] == [110, 120, 130, 140]
    live.seconds(1, off=-32 * 86400 * SECOND_NS)
    assert live.total() == 140
    assert live.decisions[-1].too_late == 10
