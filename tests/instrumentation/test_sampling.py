"""Errors and slow calls are kept whole, others by trace id as OpenTelemetry's own sampler keeps them."""

import threading

import pytest
from burnline_llm._sampling import KeepErrorsAndSlow
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode, set_span_in_context

SECOND = 10**9


class Bench:
    def __init__(self, ratio: float = 0.0, slow: float | None = 5.0, **limits: float) -> None:
        self.now = 0.0
        self.memory = InMemorySpanExporter()
        self.keep = KeepErrorsAndSlow(
            SimpleSpanProcessor(self.memory), ratio, slow, clock=lambda: self.now, **limits
        )
        provider = TracerProvider()
        provider.add_span_processor(self.keep)
        self.tracer = provider.get_tracer("t")

    def begin(self, name, parent=None):
        context = None if parent is None else set_span_in_context(parent)
        return self.tracer.start_span(name, context, start_time=SECOND)

    def end(self, span, seconds: float = 0.1, *, error: bool = False) -> None:
        if error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(SECOND + int(seconds * SECOND))

    @property
    def kept(self) -> list[str]:
        return [span.name for span in self.memory.get_finished_spans()]


def test_an_error_anywhere_keeps_the_whole_trace() -> None:
    bench = Bench()
    for error in (False, True):
        root = bench.begin("root")
        child = bench.begin("child", root)
        bench.end(child, error=error)
        bench.end(root)
    assert bench.kept == ["child", "root"]


def test_a_slow_span_keeps_the_trace_at_the_threshold() -> None:
    bench = Bench(slow=5.0)
    for seconds in (4.999, 5.0):
        root = bench.begin(f"{seconds}")
        bench.end(root, seconds)
    assert bench.kept == ["5.0"]


def test_a_child_that_outlives_its_root_is_waited_for() -> None:
    bench = Bench()
    root = bench.begin("root")
    child = bench.begin("child", root)
    bench.end(root)
    assert bench.kept == []
    bench.end(child, error=True)
    assert bench.kept == ["root", "child"]


def test_what_ends_after_the_decision_follows_it_or_stands_for_itself() -> None:
    bench = Bench(most_seconds=60)
    root = bench.begin("root")
    late, failed = bench.begin("late", root), bench.begin("failed", root)
    bench.end(root)
    bench.now = 61
    bench.end(bench.begin("other"))  # time goes on: the trace is decided on without its last spans
    bench.end(late)
    bench.end(failed, error=True)
    assert bench.kept == ["failed"]


def test_no_more_than_so_many_spans_wait() -> None:
    bench = Bench(ratio=1.0, most_spans=10)
    root = bench.begin("root")
    for number in range(30):
        bench.end(bench.begin(f"{number}", root))
        assert bench.keep._spans <= 11
    assert len(bench.kept) >= 11
    bench.end(root)
    assert sorted(bench.kept) == sorted(["root", *map(str, range(30))])


def test_shutdown_decides_on_what_waits() -> None:
    bench = Bench()
    root = bench.begin("root")
    bench.end(bench.begin("child", root), error=True)
    bench.keep.shutdown()
    assert bench.kept == ["child"]


@settings(max_examples=30)
@given(ratio=st.floats(0, 1))
def test_the_share_is_that_of_the_official_sampler(ratio: float) -> None:
    bench = Bench(ratio=ratio, slow=None)
    official = TraceIdRatioBased(ratio)
    expected = []
    for number in range(20):
        span = bench.begin(f"{number}")
        result = official.should_sample(None, span.get_span_context().trace_id, "x")
        if result.decision is Decision.RECORD_AND_SAMPLE:
            expected.append(span.name)
        bench.end(span)
    assert bench.kept == expected


def test_threads() -> None:
    bench = Bench(ratio=1.0)

    def work() -> None:
        for _ in range(200):
            root = bench.begin("root")
            bench.end(bench.begin("child", root))
            bench.end(root)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bench.kept) == 1600
    assert not bench.keep._waiting
    assert bench.keep._spans == 0


@pytest.mark.parametrize(
    "bad", [{"ratio": 1.5}, {"ratio": 0.1, "slow": 0}, {"ratio": 0.1, "most_spans": 0}]
)
def test_senseless_arguments_are_refused(bad) -> None:
    with pytest.raises(ValueError, match=r"write|above"):
        KeepErrorsAndSlow(SimpleSpanProcessor(InMemorySpanExporter()), **bad)
