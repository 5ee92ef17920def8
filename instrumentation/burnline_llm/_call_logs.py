"""The three lines of a call: started, completed, failed."""

from typing import TYPE_CHECKING

from opentelemetry import trace

from burnline_llm._logs import Logs

if TYPE_CHECKING:
    from burnline_llm._calls import Call


class CallLogs:
    """Writes a line when a call starts and one when it ends; without content, whatever `content` says."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def started(self, call: "Call") -> None:
        """A call has begun."""
        self._logs.started(_known(call))

    def completed(self, call: "Call") -> None:
        """A call has ended well."""
        figures: dict[str, object] = {
            **_known(call),
            "duration_seconds": round(call.duration, 6),
            "time_to_first_token_seconds": call.time_to_first_chunk,
            "response_model": call.response_model,
            "response_id": call.response_id,
            "input_tokens": call.input_tokens,
            "output_tokens": call.output_tokens,
            "cost_usd": call.cost,
            "unpriced": call.unpriced,
            "finish_reason": call.finish_reasons[0] if call.finish_reasons else None,
            "chunks": call.chunks or None,
        }
        self._logs.completed({name: value for name, value in figures.items() if value is not None})

    def failed(self, call: "Call") -> None:
        """A call has ended with an exception; its message may quote a prompt, so its type alone is told."""
        self._logs.failed(
            {
                **_known(call),
                "duration_seconds": round(call.duration, 6),
                "error_type": call.error_type,
            }
        )


def _known(call: "Call") -> dict[str, object]:
    known: dict[str, object] = {
        "operation": call.operation,
        "provider": call.provider,
        "model": call.model,
    }
    # A stream may end outside of its span, in whatever context it was read to its end.
    context = call.span.get_span_context()
    if context.is_valid and context is not trace.get_current_span().get_span_context():
        known["trace_id"] = f"{context.trace_id:032x}"
        known["span_id"] = f"{context.span_id:016x}"
    for attribute, name in (
        ("burnline.request.id", "request_id"),
        ("tenant.id", "tenant"),
        ("feature.name", "feature"),
    ):
        value = call.attribution.get(attribute)
        if value:
            known[name] = value
    return {name: value for name, value in known.items() if value is not None}
