"""Log lines as JSON that know their trace: structlog, configured apart from the application's own.

The three events of a call are `llm_request_started`, `llm_request_completed` and `llm_request_failed`. A line
goes to standard output, and where asked for to an OTLP receiver, too, such as Loki or a Collector.
"""

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from opentelemetry import baggage, trace
from opentelemetry._logs import Logger, LoggerProvider, SeverityNumber

_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
# Keys of baggage, and what they are called in a line.
_FROM_BAGGAGE = {
    "burnline.request.id": "request_id",
    "tenant.id": "tenant",
    "feature.name": "feature",
}
_OWN = ("event", "level", "timestamp", "trace_id", "span_id", "service")
_SCALAR = (str, bool, int, float)
_Line = MutableMapping[str, Any]


class Logs:
    """Loggers of one service.

    Args:
        service: its name, in every line.
        stream: takes the lines; None for standard output as it is when a line is written.
        written: False to write no lines (for OTLP alone).
        otlp: takes each line as a log record, too.
    """

    def __init__(
        self,
        service: str,
        *,
        stream: TextIO | None = None,
        written: bool = True,
        otlp: LoggerProvider | None = None,
    ) -> None:
        self._service = service
        processors: list[structlog.typing.Processor] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            self._place,
        ]
        if otlp is not None:
            processors.append(_ToOtlp(otlp.get_logger("burnline_llm")))
        processors.append(structlog.processors.JSONRenderer() if written else _drop)
        self._logger = structlog.wrap_logger(
            _Output(stream), processors=processors, wrapper_class=structlog.BoundLogger
        )

    def logger(self, **fields: object) -> structlog.BoundLogger:
        """A logger whose lines carry these fields."""
        return cast("structlog.BoundLogger", self._logger.bind(**fields))

    def started(self, fields: Mapping[str, object]) -> None:
        """A call has begun."""
        self._logger.info("llm_request_started", **fields)

    def completed(self, fields: Mapping[str, object]) -> None:
        """A call has ended well."""
        self._logger.info("llm_request_completed", **fields)

    def failed(self, fields: Mapping[str, object]) -> None:
        """A call has ended with an exception."""
        self._logger.error("llm_request_failed", **fields)

    def _place(self, _logger: object, _method: str, line: _Line) -> _Line:
        line["service"] = self._service
        add_trace_ids(None, "", line)
        for key, name in _FROM_BAGGAGE.items():
            value = baggage.get_baggage(key)
            if value is not None:
                line.setdefault(name, value)
        return line


_in_use: Logs | None = None


def use(logs: Logs) -> None:
    """Have `get_logger` make loggers of these."""
    global _in_use  # noqa: PLW0603 - one for a process, as setup() is
    _in_use = logs


def get_logger(**fields: object) -> structlog.BoundLogger:
    """A logger of JSON lines that know their trace, as setup() configured them; its lines carry these fields.

    log = burnline_llm.get_logger(component="ranking")
    log.info("ranked", documents=12)
    """
    return (_in_use or Logs("unknown_service")).logger(**fields)


def add_trace_ids(_logger: object, _method: str, line: _Line) -> _Line:
    """A structlog processor: the active span's `trace_id` and `span_id`, for an application's own loggers.

    >>> add_trace_ids(None, "info", {"event": "outside of a span"})
    {'event': 'outside of a span'}
    """
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line.setdefault("trace_id", f"{context.trace_id:032x}")
        line.setdefault("span_id", f"{context.span_id:016x}")
    return line


class _Output:
    """Writes lines whole, so that those of several threads do not mix."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        stream = self._stream or sys.stdout
        stream.write(line + "\n")
        stream.flush()

    debug = info = warning = warn = error = critical = fatal = exception = msg


class _ToOtlp:
    """Emits a line as a log record; its fields become attributes, which are structured metadata in Loki."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def __call__(self, _logger: object, _method: str, line: _Line) -> _Line:
        level = str(line.get("level", "info"))
        self._logger.emit(
            severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
            severity_text=level.upper(),
            body=str(line.get("event", "")),
            attributes={
                name: value if isinstance(value, _SCALAR) else str(value)
                for name, value in line.items()
                if name not in _OWN and value is not None
            },
        )
        return line


def _drop(_logger: object, _method: str, _line: _Line) -> str:
    raise structlog.DropEvent
