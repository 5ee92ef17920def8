"""Sampling that keeps errors and slow calls: decided when a trace's work in this process is over.

A sampler that decides at the start can't know how a call will end. So every span is recorded, the spans of
a trace wait here until the last one that is open in this process has ended, and then all of them go on,
or none.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

_log = logging.getLogger("burnline_llm")
_LOW_BITS = 2**64 - 1
# Decided traces that are remembered for spans which end later.
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Trace:
    """What a trace has done so far in this process."""

    began: float
    open: int = 0
    ended: list[ReadableSpan] = field(default_factory=list)
    worth_keeping: bool = False


class KeepErrorsAndSlow(SpanProcessor):
    """Hands on all traces with an error or a slow span, and a share of the others.

    The share is taken by trace id as OpenTelemetry's `TraceIdRatioBased` takes it, so that services with the
    same ratio keep the same traces. Use it in front of a trace store only: service levels that are counted
    from sampled spans are wrong, since bad calls are kept and good ones are not.

    Args:
        after: takes the spans of the traces that are kept, such as a `BatchSpanProcessor`.
        ratio: the share of the other traces that is kept, 0 to 1.
        slow: seconds from which a span is slow; None to keep errors only.
        most_spans: spans that may wait; beyond that the oldest trace is decided on by what it has shown.
        most_seconds: how long a trace may wait for a span that does not end.
        clock: seconds, monotonic.

    Raises:
        ValueError: a ratio outside 0 to 1, or a limit that is not above 0.
    """

    def __init__(
        self,
        after: SpanProcessor,
        ratio: float,
        slow: float | None = None,
        *,
        most_spans: int = 20_000,
        most_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= ratio <= 1:
            raise ValueError(
                f"sample={ratio!r} is no share; write a number from 0 to 1, such as 0.1"
            )
        if slow is not None and not slow > 0:
            raise ValueError(f"slow={slow!r}: write seconds above 0, or None")
        if most_spans < 1 or not most_seconds > 0:
            raise ValueError("most_spans and most_seconds must be above 0")
        self._after = after
        self._bound = round(ratio * 2**64)
        self._slow_ns = None if slow is None else slow * 1e9
        self._most_spans = most_spans
        self._most_seconds = most_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[int, _Trace] = OrderedDict()
        self._spans = 0
        self._decided: OrderedDict[int, bool] = OrderedDict()
        self._told_full = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span has begun: its trace waits for it."""
        self._after.on_start(span, parent_context)
        now = self._clock()
        with self._lock:
            trace_id = span.get_span_context().trace_id
            trace = self._waiting.get(trace_id)
            if trace is None:
                trace = self._waiting[trace_id] = _Trace(now)
            trace.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended: its trace is decided on if none of its spans is open any more."""
        context = span.get_span_context()
        if context is None:
            return
        trace_id = context.trace_id
        with self._lock:
            trace = self._waiting.get(trace_id)
            if trace is None:  # it was decided on without this span
                kept = self._decided.get(trace_id, False) or self._in_share(trace_id)
                going = [span] if kept or self._worth_keeping(span) else []
            else:
                trace.ended.append(span)
                trace.open -= 1
                trace.worth_keeping = trace.worth_keeping or self._worth_keeping(span)
                self._spans += 1
                going = self._decide(trace_id) if trace.open <= 0 else []
            going += self._relieve()
        self._hand_on(going)

    def shutdown(self) -> None:
        """Decide on all that waits, by what it has shown, and end."""
        with self._lock:
            going = [span for trace_id in list(self._waiting) for span in self._decide(trace_id)]
        self._hand_on(going)
        self._after.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush what was decided; traces with open spans go on waiting."""
        return self._after.force_flush(timeout_millis)

    def _decide(self, trace_id: int) -> list[ReadableSpan]:
        trace = self._waiting.pop(trace_id)
        self._spans -= len(trace.ended)
        kept = trace.worth_keeping or self._decided.get(trace_id, False) or self._in_share(trace_id)
        self._decided[trace_id] = kept
        self._decided.move_to_end(trace_id)
        if len(self._decided) > _REMEMBERED:
            self._decided.popitem(last=False)
        return trace.ended if kept else []

    def _relieve(self) -> list[ReadableSpan]:
        """Decide on traces that are too old, or too many."""
        going: list[ReadableSpan] = []
        oldest = self._clock() - self._most_seconds
        while self._waiting:
            trace_id, trace = next(iter(self._waiting.items()))
            full = self._spans > self._most_spans or len(self._waiting) > self._most_spans
            if not full and trace.began > oldest:
                break
            if full and not self._told_full:
                self._told_full = True
                _log.warning(
                    "more than %d spans wait for the end of their traces; the oldest are decided on by what "
                    "they have shown so far",
                    self._most_spans,
                )
            going += self._decide(trace_id)
        return going

    def _hand_on(self, spans: Iterable[ReadableSpan]) -> None:
        for span in spans:
            self._after.on_end(span)

    def _in_share(self, trace_id: int) -> bool:
        return (trace_id & _LOW_BITS) < self._bound

    def _worth_keeping(self, span: ReadableSpan) -> bool:
        if span.status.status_code is StatusCode.ERROR:
            return True
        if self._slow_ns is None or span.start_time is None or span.end_time is None:
            return False
        return span.end_time - span.start_time >= self._slow_ns
