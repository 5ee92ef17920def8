"""A payload that the measurer fails on is counted apart; the others, and the clock, go on."""

from fractions import Fraction

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.guarded import Guarded
from engine.columns.measure import Measurer
from engine.spool.arrivals import Arrivals
from slo.messages import Deposit
from slo.model import Objective, RollingWindow, SpanSli
from slo.traceql import parse_filter

NOW = 1_790_000_000
MONTH = Objective(
    service="s",
    name="month",
    target=Fraction(99, 100),
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
)
POISON = b"poison"


class Fails:
    """The real measurer, but for payloads that it is told to fail on."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure
        self.real = Measurer([MONTH], 4, 30)

    def measure(self, arrivals: Arrivals) -> list[tuple[str, Deposit]]:
        if POISON in (*arrivals.traces, *arrivals.metrics):
            raise self.failure
        return self.real.measure(arrivals)


def _payload(spans: int) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(spans):
        scope.spans.add(end_time_unix_nano=NOW * 10**9)
    return request.SerializeToString()


def _counted(deposits: list[tuple[str, Deposit]]) -> int:
    return sum(int(deposit.entries.counts[:, 1].sum()) for _, deposit in deposits)


@pytest.mark.parametrize("tick", [False, True])
def test_the_others_are_counted_and_the_clock_goes_on(*, tick: bool) -> None:
    told: list[tuple[str, str]] = []
    measurer = Guarded(
        Fails(ValueError("a bug")),
        lambda signal, failure, _one: told.append((signal, str(failure))),
    )
    arrivals = Arrivals(
        clock=float(NOW),
        traces=(_payload(3), POISON, _payload(4), POISON),
        metrics=(POISON,),
        tick=tick,
    )
    deposits = list(measurer.measure(arrivals))
    assert _counted(deposits) == 7
    assert told == [("metrics", "a bug"), ("traces", "a bug"), ("traces", "a bug")]
    assert {shard for shard, _ in deposits} >= (set("0123") if tick else set())
    assert {deposit.clock for _, deposit in deposits} == {float(NOW)}


def test_nothing_is_touched_where_all_is_well() -> None:
    real = Measurer([MONTH], 4, 30)
    arrivals = Arrivals(clock=float(NOW), traces=(_payload(3), _payload(4)), tick=True)
    found = Guarded(real, _never).measure(arrivals)
    assert len(found) == 4
    assert _counted(found) == 7


@pytest.mark.parametrize("failure", [MemoryError(), OSError(28, "No space left on device")])
def test_what_is_not_the_payloads_fault_ends_the_flow_and_is_read_again(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        Guarded(Fails(failure), _never).measure(Arrivals(clock=float(NOW), traces=(POISON,)))


def test_a_failure_without_payloads_is_a_bug_of_ours() -> None:
    class Broken:
        def measure(self, _arrivals: Arrivals) -> list[tuple[str, Deposit]]:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        Guarded(Broken(), _never).measure(Arrivals(clock=float(NOW), tick=True))


def _never(_signal: str, failure: Exception) -> None:
    raise AssertionError from failure
