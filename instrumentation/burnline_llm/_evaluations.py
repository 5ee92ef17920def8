"""What an evaluator says of a call, now or minutes later: the event `gen_ai.evaluation.result`."""

import functools
import logging
import math

from opentelemetry._logs import LoggerProvider, SeverityNumber, get_logger_provider
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider as Taking

_log = logging.getLogger("burnline_llm")
EVENT = "gen_ai.evaluation.result"


def evaluation(
    name: str,
    score: float | None = None,
    *,
    label: str | None = None,
    response_id: str | None = None,
    context: Context | None = None,
    provider: LoggerProvider | None = None,
) -> None:
    """Tell how good an answer was.

    Args:
        name: of the metric, such as `relevance`.
        score: what it says.
        label: what that means, such as `pass`.
        response_id: the answer's id, where its span is not known any more.
        context: of the call's span, kept from then (`call.context`); None for the active span.
        provider: takes the event; None for the global one.

    Raises:
        ValueError: neither a score nor a label, or a score that is no finite number.
    """
    if score is None and label is None:
        raise ValueError(f"evaluation {name!r} has neither a score nor a label; give one of them")
    if score is not None and not (isinstance(score, int | float) and math.isfinite(score)):
        raise ValueError(
            f"evaluation {name!r} has the score {score!r}; give a finite number, and words as label="
        )
    attributes: dict[str, str | float] = {"gen_ai.evaluation.name": name}
    if score is not None:
        attributes["gen_ai.evaluation.score.value"] = float(score)
    if label is not None:
        attributes["gen_ai.evaluation.score.label"] = label
    if response_id is not None:
        attributes["gen_ai.response.id"] = response_id
    taking = provider or get_logger_provider()
    if not isinstance(taking, Taking):
        _tell_once()
    taking.get_logger("burnline_llm").emit(
        context=context,
        severity_number=SeverityNumber.INFO,
        event_name=EVENT,
        attributes=attributes,
    )


@functools.cache
def _tell_once() -> None:
    _log.warning(
        "burnline-llm: results of evaluations go nowhere; set up OTLP logs: "
        "setup(otlp_endpoint=…, log_otlp=True)"
    )
