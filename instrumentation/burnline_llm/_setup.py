"""`setup()`: providers, exporters, the metrics page. Without it calls run as well."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from prometheus_client import start_http_server

from burnline_llm import _arguments, _exporting, _guard, _logs, _profiles, _pyroscope, _streams
from burnline_llm._attribution import AttributionProcessor
from burnline_llm._call_logs import CallLogs
from burnline_llm._content import capturing
from burnline_llm._logs import Logs
from burnline_llm._metrics import PrometheusMetrics
from burnline_llm._otel_metrics import OtelMetrics
from burnline_llm._redaction import Redactor, default_redactor
from burnline_llm._runtime import SCOPE, Observer, runtime
from burnline_llm._sampling import KeepErrorsAndSlow
from burnline_llm.prices import load_own, table, use

_log = logging.getLogger("burnline_llm")
_SECONDS_TO_END = 5.0
_PROFILE = "BURNLINE_LLM_PROFILE"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_lock = threading.Lock()
_telemetry: "Telemetry | None" = None


class Telemetry:
    """What setup() made. `shutdown()` sends what is left; a context manager does so at its end."""

    def __init__(self) -> None:
        self.flushes: list[Callable[[int], object]] = []
        self.ends: list[Callable[[], object]] = []
        self.done = False
        self.metrics_port: int | None = None
        """Where /metrics is served."""

    def flush(self, seconds: float = _SECONDS_TO_END) -> None:
        """Send what is waiting, for at most so long."""
        _streams.flush(seconds)
        _bounded([partial(flush, int(seconds * 1000)) for flush in self.flushes], seconds)

    def shutdown(self, seconds: float = _SECONDS_TO_END) -> None:
        """Send what is waiting, and end, for at most so long; calls go on without telemetry."""
        if self.done:
            return
        self.done = True
        _streams.flush(seconds)
        _bounded(self.ends, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.shutdown()


def _bounded(steps: Sequence[Callable[[], object]], seconds: float) -> None:
    """Run steps beside each other, for so long at most: a collector that is down must not hold an exit up."""

    def run(step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - an end must not fail
            _guard.failed("Telemetry.shutdown", error)

    end = time.monotonic() + seconds
    threads = [threading.Thread(target=run, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def setup(
    service: str | None = None,
    *,
    otlp_endpoint: str | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    prices: str | Path | None = None,
    thresholds: Sequence[float] = (),
    logs: Literal["json"] | None = None,
    log_otlp: bool = False,
    content: bool | None = None,
    redactor: Redactor = default_redactor,
    sample: float | None = None,
    slow: float | None = None,
    unsampled_endpoint: str | None = None,
    profile: str | None = None,
    pyroscope: str | None = None,
) -> Telemetry:
    """Set telemetry up for this process; later calls return what the first one made.

    Providers that the application has set already are used as they are. Where nothing is given,
    OpenTelemetry's own variables count: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_RESOURCE_ATTRIBUTES` and so on.

    Args:
        service: `service.name`; unless given, as OTEL_SERVICE_NAME says.
        otlp_endpoint: base URL of an OTLP/HTTP receiver, such as `http://127.0.0.1:4318`.
        metrics_port: serves /metrics there; 0 takes a free one.
        metrics_host: address of that page.
        prices: a YAML file of your own prices.
        thresholds: seconds that SLOs are about; histograms get a bucket edge at each.
        content: whether prompts and answers are written to spans, redacted; unless given, as
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says, and else not.
        logs: `json` writes a line at a call's start and one at its end to standard output.
        log_otlp: sends those lines and the results of evaluations to the OTLP receiver, too.
        redactor: each text of captured content passes it; raising drops the content.
        sample: share of traces that is sent to `otlp_endpoint`; errors and slow ones are sent in any case.
        slow: seconds from which a span is slow, for `sample`.
        unsampled_endpoint: an OTLP/HTTP receiver that gets every span, whatever `sample` says: Burnline's.
        profile: which calls are profiled: `all`, `1%`, `slow:5s`; unless given, as BURNLINE_LLM_PROFILE says.
        pyroscope: address of a Pyroscope server, for profiles all the time.

    Raises:
        ValueError: an argument that means nothing.
        ImportError: what an argument asks for is not installed.
    """
    global _telemetry  # noqa: PLW0603 - providers are one for a process, so this is
    with _lock:
        if _telemetry is not None and not _telemetry.done:
            return _telemetry
        if logs not in ("json", None):
            raise ValueError(f"logs={logs!r}: write 'json', or None for no lines")
        endpoints = {"otlp_endpoint": otlp_endpoint, "unsampled_endpoint": unsampled_endpoint}
        _arguments.check(endpoints, metrics_port, thresholds, sample, slow)
        mode = _profile(profile)
        _costs(prices)  # may raise, so before anything is changed
        made = Telemetry()
        _exporting.quiet()
        resource = Resource.create({SERVICE_NAME: service} if service else {})
        keep = None if sample is None else partial(KeepErrorsAndSlow, ratio=sample, slow=slow)
        _traces(made, resource, otlp_endpoint, keep, unsampled_endpoint)
        _metrics(made, resource, otlp_endpoint)
        records = _records(made, resource, otlp_endpoint) if log_otlp else None
        named = service or str(resource.attributes[SERVICE_NAME])
        written = Logs(named, written=logs is not None, otlp=records)
        _logs.use(written)
        lines = (CallLogs(written),) if logs is not None or records is not None else ()
        profiles = _profiles.CallProfiles(mode)
        runtime.left = profiles.left
        _observers(tuple(thresholds), (profiles, *lines))
        _capture(content, redactor)
        if pyroscope is not None:
            provider = trace.get_tracer_provider()
            linked = provider if isinstance(provider, TracerProvider) else None
            made.ends.append(_pyroscope.start(named, pyroscope, linked))
        if metrics_port is not None:
            _serve(made, metrics_host, metrics_port)
        if _telemetry is None:
            atexit.register(_at_exit)
        _telemetry = made
        return made


def _at_exit() -> None:
    if _telemetry is not None:
        _telemetry.shutdown()


def _traces(
    made: Telemetry,
    resource: Resource,
    endpoint: str | None,
    keep: Callable[[SpanProcessor], SpanProcessor] | None,
    unsampled: str | None,
) -> None:
    provider: Any = trace.get_tracer_provider()
    ours = not isinstance(provider, TracerProvider)
    if ours:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(AttributionProcessor())
    if endpoint is not None or (ours and _exporting.wanted("TRACES", endpoint)):
        sending = _exporting.span_processor(endpoint)
        provider.add_span_processor(sending if keep is None else keep(sending))
    if unsampled is not None:
        provider.add_span_processor(_exporting.span_processor(unsampled))
    if ours:
        trace.set_tracer_provider(provider)
        made.ends.append(provider.shutdown)
    made.flushes.append(provider.force_flush)
    runtime.tracer = trace.get_tracer(SCOPE)


def _metrics(made: Telemetry, resource: Resource, endpoint: str | None) -> None:
    provider: Any = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider):
        made.flushes.append(provider.force_flush)
        return
    if _exporting.wanted("METRICS", endpoint):
        provider = MeterProvider(
            [_exporting.metric_reader(endpoint)], resource, shutdown_on_exit=False
        )
        metrics.set_meter_provider(provider)
        made.ends.append(provider.shutdown)
        made.flushes.append(provider.force_flush)


def _records(made: Telemetry, resource: Resource, endpoint: str | None) -> LoggerProvider:
    provider = get_logger_provider()
    if not isinstance(provider, LoggerProvider):
        provider = LoggerProvider(resource, shutdown_on_exit=False)
        provider.add_log_record_processor(_exporting.log_processor(endpoint))
        set_logger_provider(provider)
        made.ends.append(provider.shutdown)
    made.flushes.append(provider.force_flush)
    return provider


def _observers(thresholds: tuple[float, ...], others: tuple[Observer, ...]) -> None:
    if runtime.ready:
        runtime.observers = (*runtime.observers, *others)
        if thresholds:
            _log.warning(
                "burnline-llm: calls ran before setup(), so histograms have no edges at its thresholds: "
                "call setup() first"
            )
        return
    otel = OtelMetrics(thresholds)
    runtime.observers = (PrometheusMetrics(thresholds=thresholds), otel, *others)
    runtime.step_ended = otel.step_ended
    runtime.ready = True


def _profile(asked: str | None) -> _profiles.Mode | None:
    name, text = ("profile", asked) if asked is not None else (_PROFILE, os.environ.get(_PROFILE))
    try:
        return _profiles.parse(text)
    except ValueError as error:
        raise ValueError(f"{name}={error}") from error


def _costs(prices: str | Path | None) -> None:
    if prices is not None:
        use(load_own(prices))
    # The bundled prices take some tenths of a second to load: better here than in the first call.
    _guard.guarded(table().schedule)("openai", "gpt-4o", None)


def _capture(content: bool | None, redactor: Redactor) -> None:  # noqa: FBT001
    if content is None:
        content = os.environ.get(_CONTENT, "").lower() in {"true", "span_only", "span_and_event"}
    runtime.redact = redactor
    runtime.capture = capturing(redactor) if content else None


def _serve(made: Telemetry, host: str, port: int) -> None:
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        _log.error(
            "burnline-llm: /metrics can't be served at %s:%d: %s. "
            "Choose another metrics_port, or 0 for a free one",
            host,
            port,
            error,
        )
        return
    made.metrics_port = server.server_port

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1)

    made.ends.append(end)
