"""Where a library does not send what is true, and what the engine therefore sees; each with its reason.

Nothing else may differ from `truth.py`: `test_equality.py`.
"""

from typing import NamedTuple

from tests.libraries.truth import ANTHROPIC, CALLS, OPENAI, Call


class Deviation(NamedTuple):
    """What is seen of a field of some calls instead of the truth; None: nothing."""

    calls: tuple[Call, ...]
    field: str
    seen: object
    reason: str


def _named(*names: str) -> tuple[Call, ...]:
    return tuple(call for call in CALLS if call.name in names)


_STREAMS = tuple(call for call in CALLS if call.stream)

_NOT_OF_STREAMS = "of streams it sends the model asked for"

# Calls that a library does not observe at all.
UNSEEN: dict[str, tuple[Call, ...]] = {
    # Its instrumentation is of OpenAI's client alone.
    "openai-v2": ANTHROPIC,
    # Its span of a failed Anthropic call has no attribute whatever.
    "openlit": _named("claude overloaded"),
}

DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "burnline": (),
    "genai": (),
    "openai-v2": (
        Deviation(OPENAI, "cache_read", None, "not sent"),
        Deviation(OPENAI, "reasoning", None, "not sent"),
        Deviation(_STREAMS, "first_chunk", None, "not sent"),
        Deviation(_STREAMS, "finish", None, "sent by its log records, not by its span"),
        Deviation(
            _named("cached"),
            "cost",
            0.0055,
            "cached tokens are charged in full, for they are not sent",
        ),
    ),
    "openllmetry": (),
    "openinference": (),
    "openlit": (
        Deviation(_named("reasoning"), "reasoning", None, "not sent"),
        Deviation(
            _named("no usage"),
            "failed",
            True,
            "it fails by itself where there is no usage, and says so",
        ),
        Deviation(_named("no usage"), "answered_by", None, "as before"),
        Deviation(_named("no usage"), "finish", None, "as before"),
        Deviation(_named("no usage"), "fault", "caller", "as before: an AttributeError"),
        Deviation(_named("stream without usage"), "input", 13, "its own guess"),
        Deviation(_named("stream without usage"), "output", 9, "its own guess"),
        Deviation(_named("stream without usage"), "cost", 0.0001225, "of its own guess"),
        Deviation(
            _named("claude stream"),
            "input",
            300,
            "without cached tokens, which it does not send here",
        ),
        Deviation(_named("claude stream"), "cache_read", None, "not sent"),
        Deviation(_named("claude stream"), "cost", 0.001275, "of the tokens that it sends"),
    ),
    "litellm": (
        Deviation(
            _named("stream", "stream without usage"), "answered_by", "gpt-4o", _NOT_OF_STREAMS
        ),
        Deviation(_named("claude stream"), "answered_by", "claude-sonnet-4-5", _NOT_OF_STREAMS),
        Deviation(_STREAMS, "first_chunk", None, "not sent"),
        Deviation(_named("embedding"), "provider", None, "sent empty"),
        Deviation(_named("embedding"), "output", 0, "sent as zero, which it is"),
    ),
}
