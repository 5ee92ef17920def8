"""Traces of the engine's own work, off unless `--traces` names where they go.

Spans are made here only, by `span` and `record`; while nothing is configured both cost next to nothing.
What happens with every payload or batch is sampled by a ratio, what is rare is always kept. Nothing
that was received is ever in a span: no attribute values, no texts of errors.

An engine that traces to itself would have ever more to tell. So its own receivers are refused as a
destination (`engine.telemetry._trace_export.is_own`), and where its spans come back through a Collector, no
receive span is made for them: they name this instance.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from engine.telemetry._trace_export import QuietExporter, Sampling, endpoint, is_own
from engine.telemetry.log import log
from engine.telemetry.masking import mask

STOP_SECONDS = 3.0
# In the resource of every span that is sent from here.
INSTANCE = str(uuid.uuid4())
_IN_BODY = INSTANCE.encode()
_PROPAGATOR = TraceContextTextMapPropagator()
_NONE = trace.INVALID_SPAN
_tracer: trace.Tracer | None = None
_processor: BatchSpanProcessor | None = None
_exporter: QuietExporter | None = None

Value = str | int | float | bool


class TracesError(Exception):
    """Traces can't go there; the message says why, and the mend."""


def start(url: str, ratio: float, own: Iterable[str], count: Callable[[str, int], None]) -> None:
    """Send spans from now on.

    Args:
        url: of an OTLP/HTTP receiver; `/v1/traces` is added to a bare address.
        ratio: of the spans about single payloads and batches, the share that is kept.
        own: `HOST:PORT` of this engine's receivers.
        count: told ("sent" or "lost", spans).

    Raises:
        TracesError: the URL leads back here, or nowhere.
    """
    shown = mask(url)
    try:
        leads_back = is_own(url, own)
    except ValueError as error:
        raise TracesError(
            f"--traces {shown} is no address ({error}); write such as http://collector:4318"
        ) from error
    if leads_back:
        raise TracesError(
            f"--traces {shown} is this engine's own receiver, and every span about receiving would "
            "make another; name the Collector or server that keeps your traces"
        )
    global _tracer, _processor, _exporter  # noqa: PLW0603 - one destination a process, as with the log
    stop()
    resource = Resource.create(
        {
            "service.name": "burnline",
            "service.version": version("burnline"),
            "service.instance.id": INSTANCE,
        }
    )
    provider = TracerProvider(sampler=Sampling(ratio), resource=resource, shutdown_on_exit=False)
    _exporter = QuietExporter(endpoint(url), count)
    _processor = BatchSpanProcessor(_exporter)
    provider.add_span_processor(_processor)
    _tracer = provider.get_tracer("burnline", version("burnline"))


def stop() -> None:
    """Send what waits, in a bounded time, and make no more spans."""
    global _tracer, _processor
    processor, _tracer, _processor = _processor, None, None
    if processor is None:
        return
    # The SDK would wait for 30 s; a receiver that is down must not keep the engine up.
    ending = threading.Thread(target=processor.shutdown, name="burnline-traces-end", daemon=True)
    ending.start()
    ending.join(STOP_SECONDS)
    if ending.is_alive() and _exporter is not None:
        _exporter.shutdown()
        log.warning("stopped before the last traces were sent")


def enabled() -> bool:
    """Whether spans are made at all."""
    return _tracer is not None


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: Value) -> Iterator[Span]:
    """A span around a block, the current one within it; an exception makes it an error.

    Its attributes are prefixed: `payloads=3` becomes `burnline.payloads`.
    """
    if _tracer is None:
        yield _NONE
        return
    with _tracer.start_as_current_span(
        name,
        kind=kind,
        attributes=prefixed(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except BaseException as error:
            failed(made, type(error).__name__)
            raise


@contextmanager
def receiving(
    signal: str, protocol: str, body: bytes, headers: Mapping[str, str]
) -> Iterator[Span]:
    """The span of a payload that came; goes on from the sender's `traceparent`."""
    if _tracer is None:
        yield _NONE
        return
    attributes: dict[str, Value] = {"signal": signal, "protocol": protocol, "bytes": len(body)}
    made = _tracer.start_span(
        "receive",
        # Not its `tracestate`: that is text of the sender's.
        context=_PROPAGATOR.extract({"traceparent": headers.get("traceparent", "")}),
        kind=SpanKind.SERVER,
        attributes=prefixed(attributes),
    )
    if made.is_recording() and _IN_BODY in body:
        # Our own spans, come back: what is never ended is never sent, and below it none are made.
        own = made.get_span_context()
        made = NonRecordingSpan(SpanContext(own.trace_id, own.span_id, is_remote=False))
    with trace.use_span(
        made, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        yield made


def opened(name: str, began_ns: int, **attributes: Value) -> Span | None:
    """A span without a parent that began at a Unix time in ns; None where it is not sampled."""
    if _tracer is None:
        return None
    made = _tracer.start_span(
        name,
        context=trace.set_span_in_context(_NONE),
        start_time=began_ns,
        attributes=prefixed(attributes),
    )
    return made if made.is_recording() else None


def record(
    name: str, began_ns: int, ended_ns: int, parent: Span | None = None, **attributes: Value
) -> None:
    """A span after the fact, at Unix times in ns."""
    if _tracer is None:
        return
    _tracer.start_span(
        name,
        context=trace.set_span_in_context(parent or _NONE),
        start_time=began_ns,
        attributes=prefixed(attributes),
    ).end(max(began_ns, ended_ns))


def failed(made: Span, reason: str) -> None:
    """Mark a span as an error; the reason is a word, never a text that may quote what came."""
    made.set_status(Status(StatusCode.ERROR, reason))


def prefixed(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Attributes under names of our own; those that have a dot are of the conventions already.

    >>> prefixed({"bytes": 3, "server.address": "am"})
    {'burnline.bytes': 3, 'server.address': 'am'}
    """
    return {name if "." in name else f"burnline.{name}": v for name, v in attributes.items()}
