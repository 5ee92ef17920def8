"""A span that is a context manager, a decorator, and never in the way of what it measures."""

from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, set_span_in_context

from burnline_llm import _attribution, _errors, _guard
from burnline_llm._runtime import ready, runtime


class Timed:
    """A piece of work with a span; subclasses say what it is called and what is told at its end."""

    __slots__ = (
        "__weakref__",
        "_before",
        "_began",
        "_end_now",
        "attributes",
        "attribution",
        "context",
        "duration",
        "error",
        "error_type",
        "is_open",
        "span",
        "started_ns",
    )
    _kind = SpanKind.INTERNAL

    def __init__(self) -> None:
        self.span: Span = INVALID_SPAN
        self.attributes: dict[str, Any] = {}
        """Set on the span at its end."""
        self.attribution: dict[str, str] = {}
        """What baggage says the work is for, by names of attributes."""
        self.started_ns = 0
        """Nanoseconds since 1970."""
        self.duration = 0.0
        """Seconds, once ended."""
        self.error: BaseException | None = None
        self.error_type: str | None = None
        self._began = 0
        self._before: Context | None = None
        self.context: Context | None = None
        """A context in which the span is the current one, once it has been attached."""
        self.is_open = False

    def set(self, **attributes: Any) -> Self:  # noqa: ANN401 - whatever OpenTelemetry takes
        """Set attributes of the span; `__` in a name stands for a dot."""
        self.attributes.update({key.replace("__", "."): value for key, value in attributes.items()})
        return self

    def set_attribute(self, key: str, value: Any) -> None:  # noqa: ANN401 - whatever OpenTelemetry takes
        """Set one attribute of the span."""
        self.attributes[key] = value

    def _name(self) -> str:
        raise NotImplementedError

    def _first_attributes(self) -> dict[str, Any]:
        raise NotImplementedError

    def _finished(self) -> None:
        """Work out and tell what is known at the end; the span is still open."""

    @_guard.guarded
    def start(self) -> None:
        first = self._first_attributes()
        current = contexts.get_current()
        self.attribution = _attribution.of_context(current)
        if self.attribution:
            first = {**first, **self.attribution}
        self.started_ns = time_ns()
        self._began = perf_counter_ns()
        self.is_open = True
        self.span = ready().tracer.start_span(
            self._name(),
            current,
            self._kind,
            first,
            start_time=self.started_ns,
            record_exception=False,
            set_status_on_exception=False,
        )

    @_guard.guarded
    def attach(self) -> None:
        """Make the span the current one; `detach` needs no token, so it can't fail in another task."""
        before = contexts.get_current()
        if self.context is None or self._before is not before:
            self._before = before
            self.context = set_span_in_context(self.span, before)
        contexts.attach(self.context)

    @_guard.guarded
    def detach(self) -> None:
        if self._before is not None and contexts.get_current() is self.context:
            contexts.attach(self._before)

    def end(self, error: BaseException | None = None, at: int | None = None) -> None:
        """End the span, once. `at` is a time of perf_counter_ns(); now unless given."""
        if not self.is_open:
            return
        self.is_open = False
        elapsed = (at or perf_counter_ns()) - self._began
        self.duration = elapsed / 1e9
        self.error = error
        try:
            if error is not None:
                self.error_type = _errors.error_type(error)
                if self.span.is_recording():
                    _errors.record(self.span, error, content=runtime.capture is not None)
            self._finished()
            if self.attributes and self.span.is_recording():
                self.span.set_attributes(self.attributes)
        except Exception as mishap:  # noqa: BLE001 - the span ends in any case
            _guard.failed(f"{type(self).__name__}._finished", mishap)
        try:
            self.span.end(self.started_ns + elapsed)
        except Exception as mishap:  # noqa: BLE001 - of a span processor
            _guard.failed(f"{type(self).__name__}.end", mishap)
        self.error = None  # its traceback holds frames of the application

    def __enter__(self) -> Self:
        self.start()
        self.attach()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.detach()
        self.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
