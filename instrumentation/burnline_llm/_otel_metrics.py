"""OpenTelemetry's GenAI metrics of calls and steps, for OTLP."""

from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from burnline_llm import _names as names
from burnline_llm._bounded import Bounded
from burnline_llm._metrics import MOST_MODELS, with_edges
from burnline_llm._runtime import SCOPE

if TYPE_CHECKING:
    from burnline_llm._calls import Call
    from burnline_llm._steps import Step

# Buckets that the conventions advise.
_DURATIONS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
_TOKENS = tuple(float(4**power) for power in range(14))
_AGENTS = tuple(0.1 * 2**power for power in range(13))
_WORKFLOWS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
_MOST_SETS = 2_000
# For gaps between chunks: an exemplar of each costs time, and that of the call's duration leads to the same
# trace.
_NO_TRACE = set_span_in_context(INVALID_SPAN, Context())


class OtelMetrics:
    """Observes calls and steps for OpenTelemetry.

    Args:
        thresholds: seconds that SLOs are about; each gets a bucket edge in the histograms of times.
        meter: makes the instruments; the global provider's unless given.
    """

    def __init__(self, thresholds: tuple[float, ...] = (), meter: Meter | None = None) -> None:
        meter = meter or metrics.get_meter(SCOPE)

        def histogram(name: str, unit: str, what: str, bounds: tuple[float, ...]) -> Histogram:
            return meter.create_histogram(
                name, unit, what, explicit_bucket_boundaries_advisory=bounds
            )

        times = with_edges(_DURATIONS, thresholds)
        self._duration = histogram(
            "gen_ai.client.operation.duration", "s", "Duration of model calls", times
        )
        self._tokens = histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of model calls", _TOKENS
        )
        self._first = histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to a stream's first chunk",
            times,
        )
        self._chunk = histogram(
            "gen_ai.client.operation.time_per_output_chunk",
            "s",
            "Time from a chunk to the next",
            times,
        )
        self._steps = {
            "execute_tool": histogram(
                "gen_ai.execute_tool.duration", "s", "Duration of tools", times
            ),
            "invoke_agent": histogram(
                "gen_ai.invoke_agent.duration",
                "s",
                "Duration of agents",
                with_edges(_AGENTS, thresholds),
            ),
            "invoke_workflow": histogram(
                "gen_ai.workflow.duration",
                "s",
                "Duration of workflows",
                with_edges(_WORKFLOWS, thresholds),
            ),
        }
        self._label = Bounded(MOST_MODELS)
        self._sets: dict[
            tuple[object, ...], tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
        ] = {}

    def started(self, call: "Call") -> None:
        """Nothing is known yet."""

    def completed(self, call: "Call") -> None:
        """Record a call."""
        plain, read, written = self._attributes(call)
        context = call.context or set_span_in_context(call.span)
        self._duration.record(call.duration, plain, context)
        if call.input_tokens is not None and call.input_tokens >= 0:
            self._tokens.record(call.input_tokens, read, context)
        if call.output_tokens is not None and call.output_tokens >= 0:
            self._tokens.record(call.output_tokens, written, context)
        if call.time_to_first_chunk is not None:
            self._first.record(call.time_to_first_chunk, plain, context)
            for gap in call.gaps:
                self._chunk.record(gap, plain, _NO_TRACE)

    failed = completed

    def step_ended(self, step: "Step") -> None:
        """Record a tool's, an agent's or a workflow's run."""
        histogram = self._steps.get(step.operation)
        if histogram is not None:
            told: dict[str, Any] = {
                names.OPERATION: step.operation,
                step.label: self._label(step.subject),
            }
            if step.error_type is not None:
                told[names.ERROR_TYPE] = step.error_type
            histogram.record(step.duration, told, step.context or set_span_in_context(step.span))

    def _attributes(self, call: "Call") -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        key = (
            call.operation,
            call.provider,
            call.model,
            call.response_model,
            call.server_address,
            call.server_port,
            call.error_type,
        )
        found = self._sets.get(key)
        if found is None:
            plain: dict[str, Any] = {
                names.OPERATION: call.operation,
                names.PROVIDER: call.provider or "unknown",
            }
            known = {
                names.REQUEST_MODEL: self._label(call.model) if call.model else None,
                names.RESPONSE_MODEL: (
                    self._label(call.response_model) if call.response_model else None
                ),
                names.SERVER_ADDRESS: call.server_address,
                names.SERVER_PORT: call.server_port,
                names.ERROR_TYPE: call.error_type,
            }
            plain.update({name: value for name, value in known.items() if value is not None})
            found = (
                plain,
                {**plain, names.TOKEN_TYPE: "input"},
                {**plain, names.TOKEN_TYPE: "output"},
            )
            if len(self._sets) < _MOST_SETS:
                self._sets[key] = found
        return found
