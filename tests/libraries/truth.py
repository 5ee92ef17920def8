"""The calls that every library makes of the mock provider, and what is true of each.

Standard library only: it is read in the venvs of the libraries, too. A call's name is its prompt,
which is how the provider knows what to answer.
"""

from typing import NamedTuple


class Call(NamedTuple):
    """One call, and what the provider answers.

    Tokens are as OpenTelemetry counts them: cached ones are within `input`, reasoning within
    `output`. None is what no one can know, for the provider does not say.
    """

    name: str
    model: str
    answered_by: str
    input: int | None
    output: int | None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    finish: str = "stop"
    provider: str = "openai"
    operation: str = "chat"
    stream: bool = False
    status: int = 200
    first_chunk_after: float = 0.0  # seconds
    words: int = 3  # of the answer, each a chunk where it is streamed

    @property
    def failed(self) -> bool:
        return self.status != 200


GPT_4O = ("gpt-4o", "gpt-4o-2024-08-06")
MINI = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
GPT_5 = ("gpt-5", "gpt-5-2025-08-07")
EMBEDDING = ("text-embedding-3-small", "text-embedding-3-small")
SONNET = ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")

OPENAI = (
    Call("plain", *GPT_4O, 120, 30),
    Call("cached", *GPT_4O, 2000, 50, cache_read=1536),
    Call("reasoning", *GPT_5, 80, 400, reasoning=320),
    Call("tools", *MINI, 90, 20, finish="tool_calls"),
    Call("length", *MINI, 40, 16, finish="length"),
    Call("no usage", *GPT_4O, None, None),
    Call("stream", *GPT_4O, 60, 12, stream=True, first_chunk_after=0.25),
    Call("stream without usage", *GPT_4O, None, None, stream=True),
    Call("too many", *GPT_4O, None, None, status=429),
    Call("broken", *MINI, None, None, status=500),
    Call("bad request", *GPT_4O, None, None, status=400),
    Call("embedding", *EMBEDDING, 25, None, operation="embeddings"),
)
ANTHROPIC = (
    Call("claude", *SONNET, 100, 40, provider="anthropic"),
    Call("claude cached", *SONNET, 4200, 60, 3000, 1000, provider="anthropic"),
    Call("claude stream", *SONNET, 800, 25, 500, provider="anthropic", stream=True),
    Call("claude overloaded", *SONNET, None, None, provider="anthropic", status=529),
)
CALLS = OPENAI + ANTHROPIC
# For `benchmarks.overhead`, which does without what takes a provider time.
QUICK_STREAM = Call("quick stream", *GPT_4O, 60, 20, stream=True, words=20)
BY_NAME = {call.name: call for call in (*CALLS, QUICK_STREAM)}

# US dollars a million tokens: input, output, cache read, cache write. As the providers published them.
PRICES = {
    "gpt-4o": (2.5, 10, 1.25, 0),
    "gpt-4o-mini": (0.15, 0.6, 0.075, 0),
    "gpt-5": (1.25, 10, 0.125, 0),
    "text-embedding-3-small": (0.02, 0, 0, 0),
    "claude-sonnet-4-5": (3, 15, 0.3, 3.75),
}


def cost(call: Call) -> float | None:
    """US dollars of a call, by hand; None where its tokens are not known."""
    if call.input is None:
        return None
    full, output, read, write = PRICES[call.model]
    plain = call.input - call.cache_read - call.cache_write
    charged = (
        plain * full
        + call.cache_read * read
        + call.cache_write * write
        + (call.output or 0) * output
    )
    return charged / 1e6
