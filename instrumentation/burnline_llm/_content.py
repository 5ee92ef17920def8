"""Content of a call on its span, as OpenTelemetry has it: `gen_ai.input.messages`, `gen_ai.output.messages`.

Every text in it passes the redactor. Where the redactor fails, nothing is written.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.trace import Span

from burnline_llm._redaction import Redactor, bounded

INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
_DEEPEST = 8
_MOST_MESSAGES = 200


def capturing(redactor: Redactor) -> Callable[[Span, Any, Any], None]:
    """What writes content to a span through this redactor."""

    def capture(span: Span, asked: object, answered: object) -> None:
        found = {}
        if asked is not None:
            found[INPUT_MESSAGES] = _messages(asked, "user", redactor)
        if answered is not None:
            found[OUTPUT_MESSAGES] = _messages(answered, "assistant", redactor)
        span.set_attributes(found)

    return capture


def _messages(content: object, role: str, redactor: Redactor) -> str:
    several = content if isinstance(content, list | tuple) else [content]
    messages = [_message(one, role, redactor) for one in several[:_MOST_MESSAGES]]
    return json.dumps(messages, ensure_ascii=False)


def _message(content: object, role: str, redactor: Redactor) -> dict[str, Any]:
    if isinstance(content, Mapping):
        role = str(content.get("role", role))
        content = content.get("content", {k: v for k, v in content.items() if k != "role"})
    parts = content if isinstance(content, list | tuple) else [content]
    return {"role": role, "parts": [_part(part, redactor) for part in parts[:_MOST_MESSAGES]]}


def _part(part: object, redactor: Redactor) -> dict[str, Any]:
    if isinstance(part, Mapping):
        kind, text = str(part.get("type", "text")), part.get("text", part.get("content"))
        if isinstance(text, str):
            return {"type": kind, "content": _fit(text, redactor)}
        return {"type": kind, "content": _redacted(part, redactor, 0)}
    text = part if isinstance(part, str) else str(part)
    return {"type": "text", "content": _fit(text, redactor)}


def _redacted(value: object, redactor: Redactor, depth: int) -> object:
    """Data with every text in it redacted, keys too: a tool's arguments may have any shape."""
    if isinstance(value, str):
        return _fit(value, redactor)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {_fit(str(k), redactor): _redacted(v, redactor, depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_redacted(one, redactor, depth + 1) for one in value[:_MOST_MESSAGES]]
    return f"[{type(value).__name__}]"


def _fit(text: str, redactor: Redactor) -> str:
    # Cut first, so that a redactor has a bounded text; a little longer, so that what is cut in two is found.
    redacted = redactor(text[:32_768])
    if not isinstance(redacted, str):
        raise TypeError(f"the redactor returned {type(redacted).__name__}, not a str")
    return bounded(redacted)
