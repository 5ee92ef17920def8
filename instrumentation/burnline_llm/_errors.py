"""What a span says of an exception: its type and status, and its text only where content is on."""

from traceback import format_exception

from opentelemetry.trace import Span, Status, StatusCode

from burnline_llm import _names as names
from burnline_llm._redaction import bounded
from burnline_llm._runtime import runtime


def error_type(error: BaseException) -> str:
    """The exception's class as `error.type` wants it: with its module, built-in ones without.

    >>> error_type(TimeoutError())
    'TimeoutError'
    """
    kind = type(error)
    module = kind.__module__
    return (
        kind.__qualname__ if module in {"builtins", "__main__"} else f"{module}.{kind.__qualname__}"
    )


def status_code(error: BaseException) -> int | None:
    """The HTTP status that a provider's client tells of, if any."""
    for holder in (error, getattr(error, "response", None)):
        code = getattr(holder, "status_code", None)
        if isinstance(code, int) and 100 <= code <= 599:
            return code
    return None


def record(span: Span, error: BaseException, *, content: bool) -> str:
    """Mark a span as failed, and return the `error.type` it got."""
    kind = error_type(error)
    span.set_attribute(names.ERROR_TYPE, kind)
    code = status_code(error)
    if code is not None:
        span.set_attribute(names.HTTP_STATUS, code)
    if content:
        message, trace = str(error), "".join(format_exception(error))
        redacted = {
            "exception.type": kind,
            "exception.message": bounded(runtime.redact(message)),
            "exception.stacktrace": bounded(runtime.redact(trace)),
        }
        span.add_event("exception", redacted)
        span.set_status(Status(StatusCode.ERROR, f"{kind}: {redacted['exception.message']}"[:1024]))
    else:  # messages and stack traces may quote prompts
        span.add_event("exception", {"exception.type": kind})
        span.set_status(Status(StatusCode.ERROR, kind))
    return kind
