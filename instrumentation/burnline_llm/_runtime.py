"""What setup() decides and every call reads: tracer, observers, prices, content."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace

from burnline_llm import _guard
from burnline_llm._redaction import Redactor, default_redactor

if TYPE_CHECKING:
    from burnline_llm._calls import Call
    from burnline_llm._steps import Step

SCOPE = "burnline_llm"


class Observer(Protocol):
    """Is told of every model call, at its start and at its end."""

    def started(self, call: "Call") -> None:
        """A call has begun; its span is open."""

    def completed(self, call: "Call") -> None:
        """A call has ended well; its figures are final, its span is about to end."""

    def failed(self, call: "Call") -> None:
        """A call has ended with an exception (`call.error`, `call.error_type`)."""


# Writes content of a call to its span, redacted: (span, input, output).
Capture = Callable[[trace.Span, Any, Any], None]


class Runtime:
    """The state of the instrumentation in this process."""

    def __init__(self) -> None:
        self.tracer: trace.Tracer = trace.get_tracer(SCOPE)
        self.observers: tuple[Observer, ...] = ()
        self.step_ended: Callable[[Step], None] | None = None
        # Told that the code around a call is left while its stream goes on, perhaps in another thread.
        self.left: Callable[[Call], None] | None = None
        self.capture: Capture | None = None  # None: no content leaves the application
        self.redact: Redactor = default_redactor
        self.ready = False


runtime = Runtime()


def ready() -> Runtime:
    """The runtime with its metrics made; they are there without setup(), too."""
    if not runtime.ready:
        runtime.ready = True
        _prepare()
    return runtime


@_guard.guarded
def _prepare() -> None:
    from burnline_llm import _metrics, _otel_metrics  # noqa: PLC0415 - made once, at the first call

    if not runtime.observers:
        otel = _otel_metrics.OtelMetrics()
        runtime.observers = (_metrics.PrometheusMetrics(), otel)
        runtime.step_ended = otel.step_ended
