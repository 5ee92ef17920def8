"""A call of a model: its span, its figures, and what is told of it at its end."""

from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from time import perf_counter_ns
from types import TracebackType
from typing import Any, TypeVar, overload

from opentelemetry.trace import SpanKind

from burnline_llm import _attempts, _costs, _guard, _responses, _streams
from burnline_llm import _names as names
from burnline_llm._runtime import ready, runtime
from burnline_llm._spans import Timed

T = TypeVar("T")
# Gaps between chunks of a stream that are kept for the histogram. Recording one takes some 10 us, more than
# all else done for a chunk: of a longer stream every second one is kept, every fourth, and so on.
MOST_GAPS = 16
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)
_current: ContextVar["Call | None"] = ContextVar("burnline_llm_call", default=None)


class Call(Timed):
    """A call of a model. Made by `call`, `embeddings` and `batch`; use it as a context manager.

    Observers read its attributes; those not known are None.
    """

    __slots__ = (
        "_chunk_reader",
        "_outer",
        "_streaming",
        "_stride",
        "_summed",
        "attempts",
        "cache_read_tokens",
        "cache_write_1h_tokens",
        "cache_write_tokens",
        "chunks",
        "cost",
        "finish_reasons",
        "first_seen",
        "gaps",
        "input_tokens",
        "is_closing",
        "last_chunk",
        "model",
        "operation",
        "output_tokens",
        "price_table",
        "provider",
        "reasoning_tokens",
        "response_id",
        "response_model",
        "server_address",
        "server_port",
        "service_tier",
        "stream_requested",
        "time_per_output_token",
        "time_to_first_chunk",
        "unpriced",
    )
    _kind = SpanKind.CLIENT

    def __init__(
        self,
        provider: str | None,
        model: str | None,
        operation: str = "chat",
        *,
        stream: bool = False,
        server: tuple[str, int] | str | None = None,
        summed: bool = False,
    ) -> None:
        super().__init__()
        self.provider = provider
        self.model = model
        self.operation = operation
        self.stream_requested = stream
        self.server_address: str | None = None
        self.server_port: int | None = None
        self._serve(server)
        self.response_model: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.finish_reasons: tuple[str, ...] = ()
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cache_read_tokens: int | None = None
        self.cache_write_tokens: int | None = None
        self.cache_write_1h_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self.time_to_first_chunk: float | None = None
        self.time_per_output_token: float | None = None
        self.cost: float | None = None
        self.unpriced: str | None = None
        self.price_table: str | None = None
        self.chunks = 0
        self.gaps: list[float] = []
        self.attempts: _attempts.Attempts | None = None
        self.first_seen = self.last_chunk = 0
        self.is_closing = False
        self._streaming = False
        self._stride = 1
        self._summed = summed
        self._outer: Call | None = None
        self._chunk_reader: _responses.ChunkReader | None = None

    @_guard.guarded
    def _serve(self, server: tuple[str, int] | str | None) -> None:
        if isinstance(server, tuple):
            self.server_address, self.server_port = server
        else:
            self.server_address = server

    # What the application tells

    @_guard.guarded
    def response(self, response: object) -> None:
        """Read model, id, finish reasons and tokens from an answer.

        Of OpenAI, Anthropic, Google, Bedrock, LiteLLM, or a dict like theirs.
        """
        _responses.read(self, response)

    @_guard.guarded
    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read: int | None = None,
        cache_write: int | None = None,
        reasoning: int | None = None,
        cache_write_1h: int | None = None,
    ) -> None:
        """Tell the tokens, counted as OpenTelemetry does.

        Cached ones are among the input, those of reasoning among the output.
        """
        if self._summed:
            told = (input_tokens, output_tokens, cache_read, cache_write, cache_write_1h, reasoning)
            for field, tokens in zip(_TOKENS, told, strict=True):
                if tokens is not None:
                    setattr(self, field, (getattr(self, field) or 0) + tokens)
            return
        if input_tokens is not None:
            self.input_tokens = input_tokens
        if output_tokens is not None:
            self.output_tokens = output_tokens
        if cache_read is not None:
            self.cache_read_tokens = cache_read
        if cache_write is not None:
            self.cache_write_tokens = cache_write
        if cache_write_1h is not None:
            self.cache_write_1h_tokens = cache_write_1h
        if reasoning is not None:
            self.reasoning_tokens = reasoning

    def first_chunk(self) -> None:
        """The first piece of the answer is here."""
        if not self.first_seen:
            self.first_seen = perf_counter_ns()

    def chunk(self, chunk: object = None) -> None:
        """A piece of the answer is here; the first one is `first_chunk`, too."""
        now = perf_counter_ns()
        if not self.first_seen:
            self.first_seen = now
        elif self.last_chunk and self.chunks % self._stride == 0:
            if len(self.gaps) == MOST_GAPS:
                del self.gaps[::2]
                self._stride *= 2
            self.gaps.append((now - self.last_chunk) / 1e9)
        self.last_chunk = now
        self.chunks += 1
        if chunk is not None:
            try:
                if self._chunk_reader is None:
                    self._chunk_reader = _responses.ChunkReader()
                self._chunk_reader.take(self, chunk)
            except Exception as mishap:  # noqa: BLE001 - the seam
                _guard.failed("Call.chunk", mishap)

    def finish(self, *reasons: str) -> None:
        """Why the model stopped."""
        self.finish_reasons = reasons

    def queued(self, seconds: float) -> None:
        """Time the call waited in a queue before it was sent."""
        self.attributes[names.QUEUE] = seconds

    def network(self, seconds: float) -> None:
        """Time spent on the network: look-up, connection, TLS."""
        self.attributes[names.NETWORK] = seconds

    @_guard.guarded
    def content(self, *, input: object = None, output: object = None) -> None:  # noqa: A002 - as the convention calls it
        """Hand over messages: written, redacted, where setup() has content on, dropped otherwise."""
        if runtime.capture is not None and self.span.is_recording():
            runtime.capture(self.span, input, output)

    def attempt(
        self, *, provider: str | None = None, model: str | None = None, backoff: float | None = None
    ) -> "_attempts.Attempt":
        """One try of several, as a context manager; give model and provider where it is a fallback."""
        if self.attempts is None:
            self.attempts = _attempts.Attempts()
        return _attempts.Attempt(
            self, self.attempts, provider=provider, model=model, backoff=backoff
        )

    def before_sleep(self, retry_state: Any) -> None:  # noqa: ANN401 - tenacity's RetryCallState
        """For `tenacity.retry(before_sleep=call.before_sleep)`: each failed try becomes an attempt."""
        if self.attempts is None:
            self.attempts = _attempts.Attempts()
        self.attempts.before_sleep(self, retry_state)

    @overload
    def stream(self, source: AsyncIterator[T]) -> "_streams.AsyncStream[T]": ...
    @overload
    def stream(self, source: Iterator[T]) -> "_streams.Stream[T]": ...
    def stream(self, source: Any) -> Any:
        """Wrap a stream of chunks: the call ends when the stream does, is closed, or is dropped.

        What the source offers beside iteration is still there.
        """
        self._streaming = True
        self.stream_requested = True
        if hasattr(source, "__anext__") or hasattr(source, "__aiter__"):
            return _streams.AsyncStream(self, source)
        return _streams.Stream(self, source)

    # What the span and the observers get

    def _name(self) -> str:
        return f"{self.operation} {self.model}" if self.model else self.operation

    def _first_attributes(self) -> dict[str, Any]:
        first: dict[str, Any] = {names.OPERATION: self.operation}
        if self.provider:
            first[names.PROVIDER] = self.provider
        if self.model:
            first[names.REQUEST_MODEL] = self.model
        if self.server_address:
            first[names.SERVER_ADDRESS] = self.server_address
            if self.server_port:
                first[names.SERVER_PORT] = self.server_port
        return first

    def start(self) -> None:
        super().start()
        for observer in ready().observers:
            try:
                observer.started(self)
            except Exception as mishap:  # noqa: BLE001 - the seam
                _guard.failed(f"{type(observer).__name__}.started", mishap)

    def _finished(self) -> None:
        try:
            if self._chunk_reader is not None:
                self._chunk_reader.finish(self)
            self._work_out()
            self._describe()
        except Exception as mishap:  # noqa: BLE001 - the observers are told in any case
            _guard.failed("Call._finished", mishap)
        for observer in runtime.observers:
            try:
                if self.error is None:
                    observer.completed(self)
                else:
                    observer.failed(self)
            except Exception as mishap:  # noqa: BLE001 - the seam
                _guard.failed(f"{type(observer).__name__}.ended", mishap)

    def _work_out(self) -> None:
        if self.first_seen:
            self.time_to_first_chunk = (self.first_seen - self._began) / 1e9
            if (
                self.last_chunk > self.first_seen
                and self.output_tokens is not None
                and self.output_tokens > 1
            ):
                self.time_per_output_token = (
                    (self.last_chunk - self.first_seen) / 1e9 / (self.output_tokens - 1)
                )
        if self.attempts is not None:
            self.attempts.finish(self)
        _costs.price(self)

    def _describe(self) -> None:
        told = self.attributes
        if self.stream_requested:
            told[names.STREAM] = True
        for name, value in (
            (names.RESPONSE_MODEL, self.response_model),
            (names.RESPONSE_ID, self.response_id),
            (names.INPUT_TOKENS, self.input_tokens),
            (names.OUTPUT_TOKENS, self.output_tokens),
            (names.CACHE_READ_TOKENS, self.cache_read_tokens),
            (names.CACHE_WRITE_TOKENS, self.cache_write_tokens),
            (names.REASONING_TOKENS, self.reasoning_tokens),
            (names.TIME_TO_FIRST_CHUNK, self.time_to_first_chunk),
            (names.TIME_PER_OUTPUT_TOKEN, self.time_per_output_token),
            (names.SERVICE_TIER, self.service_tier),
            (names.COST, self.cost),
            (names.UNPRICED, self.unpriced),
            (names.PRICE_TABLE, self.price_table if self.cost is not None else None),
        ):
            if value is not None:
                told[name] = value
        if self.finish_reasons:
            told[names.FINISH_REASONS] = self.finish_reasons

    # Where it begins and ends

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.detach()
        if isinstance(error, GeneratorExit):  # the application's own generator was closed early
            error = None
        elif self._streaming and error is None:
            self._left()
            return  # the stream ends the call
        self.end(error)

    @_guard.guarded
    def _left(self) -> None:
        if runtime.left is not None:
            runtime.left(self)

    def attach(self) -> None:
        super().attach()
        self._outer = _current.get()
        _current.set(self)

    def detach(self) -> None:
        super().detach()
        if _current.get() is self:
            _current.set(self._outer)
        self._outer = None

    def __del__(self) -> None:
        if getattr(self, "is_open", False):
            _streams.abandoned(self)


def call(
    *,
    provider: str | None = None,
    model: str | None = None,
    operation: str = "chat",
    stream: bool = False,
    server: tuple[str, int] | str | None = None,
) -> Call:
    """A call of a model, for `with` and `async with`.

    Args:
        provider: as `gen_ai.provider.name` has it: openai, anthropic, gcp.gemini, aws.bedrock, …
        model: the model asked for.
        operation: chat, text_completion, generate_content or embeddings.
        stream: whether the answer is asked for piece by piece (`call.stream` sets it, too).
        server: address, or address and port, where it is no secret.
    """
    return Call(provider, model, operation, stream=stream, server=server)


def embeddings(
    *,
    provider: str | None = None,
    model: str | None = None,
    server: tuple[str, int] | str | None = None,
) -> Call:
    """A call of an embeddings model."""
    return Call(provider, model, "embeddings", server=server)


def batch(
    *,
    size: int,
    provider: str | None = None,
    model: str | None = None,
    operation: str = "chat",
    server: tuple[str, int] | str | None = None,
) -> Call:
    """Many requests sent as one: one call, one span; `response` and `usage` add up.

    Args:
        size: requests in it, `burnline.batch.size`.
        provider: as for `call`.
        model: as for `call`.
        operation: as for `call`.
        server: as for `call`.
    """
    made = Call(provider, model, operation, server=server, summed=True)
    made.attributes[names.BATCH_SIZE] = size
    return made


def current() -> Call:
    """The call around the code that asks, as in a function under `@observe`.

    Outside of any, it is a call that goes nowhere.
    """
    return _current.get() or Call(None, None)
