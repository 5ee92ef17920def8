"""Series of model calls on `/metrics`, with trace ids as exemplars."""

from typing import TYPE_CHECKING

from opentelemetry.trace import TraceFlags
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from burnline_llm import _guard
from burnline_llm import _names as names
from burnline_llm._bounded import Bounded

if TYPE_CHECKING:
    from burnline_llm._calls import Call

MOST_MODELS = 200
MOST_TENANTS = 500
_LATENCIES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_FIRST_TOKENS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)


def with_edges(bounds: tuple[float, ...], thresholds: tuple[float, ...]) -> tuple[float, ...]:
    """Bounds of buckets with an edge at each threshold.

    >>> with_edges((1.0, 4.0), (2.0, 4.0))
    (1.0, 2.0, 4.0)
    """
    return tuple(sorted({*bounds, *(float(t) for t in thresholds if t > 0)}))


class _OfModel:
    """The series of one model, looked up once."""

    __slots__ = ("cost", "error", "first", "label", "latency", "ok", "tokens")

    def __init__(self, metrics: "PrometheusMetrics", model: str) -> None:
        self.label = model
        self.ok = metrics.requests.labels(model, "ok")
        self.error = metrics.requests.labels(model, "error")
        self.latency = metrics.latency.labels(model)
        self.cost = metrics.cost.labels(model)
        self.first: Histogram | None = None
        self.tokens: dict[str, Counter] = {}


class PrometheusMetrics:
    """Observes calls for `/metrics`.

    Args:
        registry: of prometheus_client.
        thresholds: latencies in seconds that SLOs are about; each gets a bucket edge.
    """

    def __init__(
        self, registry: CollectorRegistry = REGISTRY, thresholds: tuple[float, ...] = ()
    ) -> None:
        self.requests = Counter(
            "llm_requests", "Model calls, by how they ended", ("model", "status"), registry=registry
        )
        self.latency = Histogram(
            "llm_latency_seconds",
            "Time from a model call's start to its end, of a stream to its last chunk",
            ("model",),
            buckets=with_edges(_LATENCIES, thresholds),
            registry=registry,
        )
        self.cost = Counter(
            "llm_cost_dollars",
            "Cost of model calls, by the price table",
            ("model",),
            registry=registry,
        )
        self.active = Gauge(
            "llm_active_requests", "Model calls that are running", registry=registry
        )
        self.first = Histogram(
            "llm_time_to_first_token_seconds",
            "Time from a streamed call's start to its first chunk",
            ("model",),
            buckets=with_edges(_FIRST_TOKENS, thresholds),
            registry=registry,
        )
        self.tokens = Counter(
            "llm_tokens",
            "Tokens; cache_read and cache_write are among input, reasoning is among output",
            ("model", "type"),
            registry=registry,
        )
        self.unpriced = Counter(
            "llm_unpriced",
            "Model calls without a cost: no price for the model, or no usable token counts",
            ("model", "reason"),
            registry=registry,
        )
        self.tenants = Counter(
            "llm_tenant_cost_dollars",
            "Cost of model calls by tenant",
            ("tenant",),
            registry=registry,
        )
        self.mishaps = Counter(
            "llm_instrumentation_errors",
            "Failures inside burnline-llm; the calls themselves were not touched",
            ("where",),
            registry=registry,
        )
        self._label = Bounded(MOST_MODELS)
        self._tenant = Bounded(MOST_TENANTS)
        self._models: dict[str, _OfModel] = {}
        _guard.count = lambda where: self.mishaps.labels(where).inc()

    def _of(self, model: str | None) -> _OfModel:
        label = self._label(model)
        found = self._models.get(label)
        if found is None:
            found = self._models.setdefault(label, _OfModel(self, label))
        return found

    def started(self, _call: "Call") -> None:
        """One more is running."""
        self.active.inc()

    def completed(self, call: "Call") -> None:
        """Count a call that ended well."""
        self._ended(call, self._of(call.model or call.response_model))

    failed = completed

    def _ended(self, call: "Call", series: _OfModel) -> None:
        self.active.dec()
        context = call.span.get_span_context()
        exemplar = None
        if context.trace_flags & TraceFlags.SAMPLED and context.is_valid:
            exemplar = {"trace_id": f"{context.trace_id:032x}"}
        (series.ok if call.error is None else series.error).inc()
        series.latency.observe(call.duration, exemplar)
        if call.time_to_first_chunk is not None:
            if series.first is None:
                series.first = self.first.labels(series.label)
            series.first.observe(call.time_to_first_chunk, exemplar)
        for kind, count in (
            ("input", call.input_tokens),
            ("output", call.output_tokens),
            ("cache_read", call.cache_read_tokens),
            ("cache_write", call.cache_write_tokens),
            ("reasoning", call.reasoning_tokens),
        ):
            if count and count > 0:
                child = series.tokens.get(kind)
                if child is None:
                    child = series.tokens[kind] = self.tokens.labels(series.label, kind)
                child.inc(count)
        if call.cost is not None:
            series.cost.inc(call.cost)
            tenant = call.attribution.get(names.TENANT)
            if tenant is not None:
                self.tenants.labels(self._tenant(tenant)).inc(call.cost)
        elif call.unpriced is not None:
            self.unpriced.labels(series.label, call.unpriced).inc()
