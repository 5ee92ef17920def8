"""Reads what providers' clients answer: OpenAI, Anthropic, Google, LiteLLM, Bedrock, and dicts like theirs.

No client is imported: shapes are told apart by their fields. Tokens are counted as OpenTelemetry does:
cached ones are among the input, reasoning among the output. Anthropic and Bedrock count cached ones apart,
Google thoughts: they are added here, once.
"""

from typing import TYPE_CHECKING, Any

from burnline_llm._fields import fields_of, get

if TYPE_CHECKING:
    from burnline_llm._calls import Call


def _whole(thing: Any, name: str) -> int | None:  # noqa: ANN401
    value = get(thing, name)
    if value is None or value.__class__ is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _text(value: Any) -> str | None:  # noqa: ANN401
    if value is None or value.__class__ is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)  # the value of Google's enumerations
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else None


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def read(call: "Call", response: object) -> None:
    """Put what an answer says into a call."""
    if response is None or isinstance(response, str | bytes | int | float | bool):
        return
    told = fields_of(response)
    _read_head(call, told)
    reasons = finish_reasons(told)
    if reasons:
        call.finish_reasons = reasons
    usage = usage_of(told)
    if usage is not None:
        read_usage(call, usage)


def _read_head(call: "Call", told: Any) -> None:  # noqa: ANN401
    for name in ("model", "model_version", "modelVersion"):
        if text := _text(get(told, name)):
            call.response_model = text
            break
    for name in ("id", "response_id", "responseId"):
        if text := _text(get(told, name)):
            call.response_id = text
            break
    tier = get(told, "service_tier")
    if isinstance(tier, str):
        call.service_tier = tier


def usage_of(response: Any) -> Any:  # noqa: ANN401
    """The part of an answer that tells its tokens."""
    for name in ("usage", "usage_metadata", "usageMetadata"):
        usage = get(response, name)
        if usage is not None:
            return usage
    return None


def finish_reasons(response: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Why the model stopped, as the provider calls it, one for each answer."""
    choices = get(response, "choices") or get(response, "candidates")
    if isinstance(choices, list | tuple):
        found = [_text(get(c, "finish_reason") or get(c, "finishReason")) for c in choices]
        return tuple([reason for reason in found if reason])
    reason = _text(get(response, "stop_reason") or get(response, "stopReason"))
    if reason is None and get(response, "object") == "response":
        reason = _text(get(get(response, "incomplete_details"), "reason")) or _text(
            get(response, "status")
        )
    return (reason,) if reason else ()


def read_usage(call: "Call", usage: Any) -> None:  # noqa: ANN401
    """Put the tokens that a usage record tells into a call."""
    usage = fields_of(usage)
    if _whole(usage, "prompt_tokens") is not None or _whole(usage, "completion_tokens") is not None:
        _chat(call, usage)
    elif _whole(usage, "input_tokens") is not None or _whole(usage, "output_tokens") is not None:
        _input_output(call, usage)
    elif get(usage, "prompt_token_count") is not None or get(usage, "promptTokenCount") is not None:
        _google(call, usage)
    elif _whole(usage, "inputTokens") is not None:
        read_, write = _whole(usage, "cacheReadInputTokens"), _whole(usage, "cacheWriteInputTokens")
        call.usage(
            input_tokens=_sum(_whole(usage, "inputTokens"), read_, write),
            output_tokens=_whole(usage, "outputTokens"),
            cache_read=read_,
            cache_write=write,
        )


def _chat(call: "Call", usage: Any) -> None:  # noqa: ANN401
    """OpenAI's chat completions and embeddings, and all that answer alike; LiteLLM."""
    details = get(usage, "prompt_tokens_details")
    cached = _whole(details, "cached_tokens")
    written = _whole(details, "cache_write_tokens")
    if cached is None:
        cached = _whole(usage, "cache_read_input_tokens")
    if written is None:
        written = _whole(usage, "cache_creation_input_tokens")
    call.usage(
        input_tokens=_whole(usage, "prompt_tokens"),
        output_tokens=_whole(usage, "completion_tokens"),
        cache_read=cached,
        cache_write=written,
        reasoning=_whole(get(usage, "completion_tokens_details"), "reasoning_tokens"),
    )


def _input_output(call: "Call", usage: Any) -> None:  # noqa: ANN401
    details = get(usage, "input_tokens_details")
    if details is not None:  # OpenAI's responses
        call.usage(
            input_tokens=_whole(usage, "input_tokens"),
            output_tokens=_whole(usage, "output_tokens"),
            cache_read=_whole(details, "cached_tokens"),
            cache_write=_whole(details, "cache_write_tokens"),
            reasoning=_whole(get(usage, "output_tokens_details"), "reasoning_tokens"),
        )
        return
    details = get(usage, "input_token_details")
    if details is not None:  # LangChain
        call.usage(
            input_tokens=_whole(usage, "input_tokens"),
            output_tokens=_whole(usage, "output_tokens"),
            cache_read=_whole(details, "cache_read"),
            cache_write=_whole(details, "cache_creation"),
            reasoning=_whole(get(usage, "output_token_details"), "reasoning"),
        )
        return
    read_, write = (
        _whole(usage, "cache_read_input_tokens"),
        _whole(usage, "cache_creation_input_tokens"),
    )
    tier = get(usage, "service_tier")
    if isinstance(tier, str) and call.service_tier is None:
        call.service_tier = tier
    call.usage(  # Anthropic
        input_tokens=_sum(_whole(usage, "input_tokens"), read_, write),
        output_tokens=_whole(usage, "output_tokens"),
        cache_read=read_,
        cache_write=write,
        cache_write_1h=_whole(get(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning=_whole(get(usage, "output_tokens_details"), "thinking_tokens"),
    )


def _google(call: "Call", usage: Any) -> None:  # noqa: ANN401
    def count(snake: str, camel: str) -> int | None:
        found = _whole(usage, snake)
        return found if found is not None else _whole(usage, camel)

    thoughts = count("thoughts_token_count", "thoughtsTokenCount")
    call.usage(
        input_tokens=_sum(
            count("prompt_token_count", "promptTokenCount"),
            count("tool_use_prompt_token_count", "toolUsePromptTokenCount"),
        ),
        output_tokens=_sum(count("candidates_token_count", "candidatesTokenCount"), thoughts),
        cache_read=count("cached_content_token_count", "cachedContentTokenCount"),
        reasoning=thoughts,
    )


class ChunkReader:
    """Reads the chunks of one stream: little at each, the figures once, at its end."""

    __slots__ = ("_begun", "_end", "_head", "_plain", "_reasons")

    def __init__(self) -> None:
        self._head: Any = None  # the first chunk that tells a model
        self._begun: Any = None  # Anthropic's message_start: its tokens of input
        self._end: Any = None  # the last usage record seen
        self._reasons: dict[int, str] = {}
        self._plain = False

    def take(self, call: "Call", chunk: Any) -> None:  # noqa: ANN401
        """Look at a chunk."""
        if self._plain:
            return
        if isinstance(chunk, str | bytes):
            self._plain = True
            return
        told = fields_of(chunk)
        kind = get(told, "type")
        if isinstance(kind, str):
            self._event(call, kind, told)
            return
        if self._head is None:
            self._head = chunk
        usage = usage_of(told)
        if usage is not None:
            self._end = usage
        choices = get(told, "choices") or get(told, "candidates")
        if choices:
            for place, choice in enumerate(choices):
                reason = get(choice, "finish_reason") or get(choice, "finishReason")
                if reason is not None and (text := _text(reason)):
                    index = get(choice, "index")
                    self._reasons[index if isinstance(index, int) else place] = text

    def _event(self, call: "Call", kind: str, event: Any) -> None:  # noqa: ANN401
        if kind == "message_start":
            self._head = get(event, "message")
            self._begun = get(self._head, "usage")
        elif kind == "message_delta":
            self._end = get(event, "usage")
            reason = _text(get(get(event, "delta"), "stop_reason"))
            if reason:
                self._reasons[0] = reason
        elif kind.startswith("response."):
            response = get(event, "response")
            if response is not None:
                self._head = response
                if kind in {"response.completed", "response.incomplete", "response.failed"}:
                    read(call, response)
                    self._head = None

    def finish(self, call: "Call") -> None:
        """Put what the chunks said into the call."""
        head, self._head = self._head, None
        if head is not None:
            _read_head(call, fields_of(head))
        if self._reasons:
            call.finish_reasons = tuple(reason for _, reason in sorted(self._reasons.items()))
        if self._begun is not None:
            read_usage(call, _both(self._begun, self._end))
        elif self._end is not None:
            read_usage(call, self._end)


_ANTHROPIC = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "service_tier",
)


def _both(begun: Any, end: Any) -> dict[str, Any]:  # noqa: ANN401
    """Anthropic tells the input at the start, the output at the end; where the end tells both, it counts."""
    merged = {name: get(begun, name) for name in _ANTHROPIC}
    if end is not None:
        merged.update({name: value for name in _ANTHROPIC if (value := get(end, name)) is not None})
    return merged
