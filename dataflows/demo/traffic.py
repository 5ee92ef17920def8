"""The demo's traffic: calls of an LLM application as the OpenTelemetry SDK would export them.

Pure and seeded: the same seed, trace and times give the same calls. An hour of history comes first,
at the trace's own pace; live the trace begins again, `PACE` times as fast, because no share of
failing calls could burn 2 % of a month within seconds against an equally dense hour.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from dataflows.demo.trace import Trace

PACE = 40.0
# Live calls a second that the demo sends at most; a denser trace is slowed down to it.
MOST_PER_SECOND = 2_000.0
HISTORY_SECONDS = 3600.0
EMBEDDINGS_SHARE = 0.07
STREAMED_SHARE = 0.8
ERROR_SHARE = 0.0003
TIMEOUT = 30.0
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the application calls.

    Attributes:
        name: as requested.
        provider: its OpenTelemetry name.
        share: of the calls of tenants that have no favourite.
        first: median seconds to the first chunk.
        per_token: seconds an output token takes.
    """

    name: str
    provider: str
    share: float
    first: float
    per_token: float


MODELS = (
    Model("gpt-5", "openai", 0.22, 0.55, 0.013),
    Model("gpt-5-mini", "openai", 0.30, 0.35, 0.007),
    Model("claude-sonnet-4-5", "anthropic", 0.20, 0.60, 0.012),
    Model("claude-haiku-4-5", "anthropic", 0.16, 0.30, 0.006),
    Model("gemini-2.5-pro", "gcp.gemini", 0.12, 0.70, 0.009),
)
EMBEDDER = Model("text-embedding-3-small", "openai", 0.0, 0.06, 0.0)
SERVERS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "gcp.gemini": "generativelanguage.googleapis.com",
}
# (tenant, its share, the model that half of its calls go to); a few large ones and a tail.
TENANTS = (
    ("acme", 0.29, 2),
    ("globex", 0.17, 0),
    ("initech", 0.12, 1),
    ("umbrella", 0.09, 1),
    ("hooli", 0.08, 4),
    ("stark", 0.06, 0),
    ("wayne", 0.05, 3),
    ("wonka", 0.04, 1),
    ("tyrell", 0.035, 2),
    ("cyberdyne", 0.03, 3),
    ("soylent", 0.02, 0),
    ("aperture", 0.015, 4),
)
# (error.type, its share, seconds until it is known)
ERRORS = (
    ("RateLimitError", 0.5, 0.15),
    ("InternalServerError", 0.3, 0.8),
    ("APITimeoutError", 0.2, TIMEOUT),
)


@dataclass(frozen=True, slots=True)
class Incident:
    """From `start` on (Unix seconds) a share of a tenant's calls of a model fails, fast."""

    start: float
    tenant: int = 0
    model: int = 2
    share: float = 0.8
    error: int = 0

    @property
    def slice(self) -> dict[str, str]:
        """What an alert should name as burning."""
        return {
            "span.gen_ai.request.model": MODELS[self.model].name,
            "span.tenant.id": TENANTS[self.tenant][0],
        }


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls, one a row of every array.

    Attributes:
        start: `float64`, Unix seconds.
        seconds: `float64`, how long the call took.
        first: `float64`, seconds to the first chunk; NaN where nothing was streamed.
        model: `int64`, index into `MODELS`; one past its end is the embedder.
        tenant: `int64`, index into `TENANTS`.
        error: `int64`, index into `ERRORS`; -1 where the call succeeded.
        input_tokens: `int64`.
        output_tokens: `int64`.
        chance: `float64`, the call's lot in [0, 1) for an incident.
        ids: `uint8[n, 24]`, trace id and span id.
    """

    start: NDArray[np.float64]
    seconds: NDArray[np.float64]
    first: NDArray[np.float64]
    model: NDArray[np.int64]
    tenant: NDArray[np.int64]
    error: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    chance: NDArray[np.float64]
    ids: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def end(self) -> NDArray[np.float64]:
        """`float64`, Unix seconds."""
        return self.start + self.seconds

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Calls":
        """These rows."""
        return Calls(*(getattr(self, f.name)[rows] for f in fields(self)))

    def then(self, more: "Calls") -> "Calls":
        """These and more."""
        return Calls(
            *(np.concatenate([getattr(self, f.name), getattr(more, f.name)]) for f in fields(self))
        )

    def during(self, incident: Incident | None) -> "Calls":
        """As they go with an incident."""
        if incident is None:
            return self
        hit = (
            (self.start >= incident.start)
            & (self.tenant == incident.tenant)
            & (self.model == incident.model)
            & (self.chance < incident.share)
        )
        known = ERRORS[incident.error][2] * (0.5 + self.chance)
        return replace(
            self,
            error=np.where(hit, incident.error, self.error),
            seconds=np.where(hit, known, self.seconds),
            first=np.where(hit, np.nan, self.first),
        )


class Traffic:
    """Calls in the order in which they end, which is when an SDK exports them.

    Args:
        trace: arrivals and tokens.
        seed: of everything that the trace does not say.
        history_end: Unix seconds; the trace's first hour (or all of it) ends here.

    Attributes:
        incident: what fails now; may be set at any time.
        live_at: Unix seconds at which the trace begins again, None while there is history only.
        history_start: Unix seconds of the first arrival.
        pace: how much faster than the trace the live part runs.
    """

    def __init__(self, trace: Trace, seed: int, history_end: float) -> None:
        self.trace = trace
        self.seed = seed
        self.incident: Incident | None = None
        self.live_at: float | None = None
        self.pace = min(PACE, MOST_PER_SECOND * trace.length / len(trace))
        self._hour = min(trace.length, HISTORY_SECONDS)
        self.history_start = history_end - self._hour
        self._history_rows = int(np.searchsorted(trace.offsets, self._hour))
        self._row = 0
        self._waiting = self._draw(0)

    @property
    def rate(self) -> float:
        """Mean live calls a second."""
        return len(self.trace) / self.trace.length * self.pace

    def until(self, now: float) -> Calls:
        """The calls that ended by now and were not given before."""
        while (count := self._due(now)) > 0:
            self._waiting = self._waiting.then(self._draw(count))
        calls = self._waiting.during(self.incident)
        ended = calls.end <= now
        self._waiting = self._waiting.at(~ended)
        calls = calls.at(ended)
        return calls.at(np.argsort(calls.end, kind="stable"))

    def _due(self, now: float) -> int:
        """How many rows to draw next; 0 when the next one starts after now."""
        if self._row < self._history_rows:
            left = self._history_rows - self._row
            return min(left, _BLOCK) if self._starts(1)[0] <= now else 0
        return _BLOCK if self.live_at is not None and self._starts(1)[0] <= now else 0

    def _starts(self, count: int) -> NDArray[np.float64]:
        """Unix seconds at which the next rows start."""
        rows = np.arange(self._row, self._row + count)
        if self._row < self._history_rows:
            return self.history_start + self.trace.offsets[rows]
        # Live a trace longer than the history goes on where that ended; any other begins again.
        laps, places = np.divmod(rows, len(self.trace))
        at = laps * self.trace.length + self.trace.offsets[places] - self._hour
        return np.asarray((self.live_at or 0.0) + at / self.pace)

    def _draw(self, count: int) -> Calls:
        """The next rows; a block's lots depend on the seed and its first row alone."""
        start = self._starts(count) if count else np.empty(0)
        random = np.random.default_rng([self.seed, 2, self._row])
        places = np.arange(self._row, self._row + count) % len(self.trace)
        self._row += count
        tenant = random.choice(len(TENANTS), count, p=_shares([t[1] for t in TENANTS]))
        favourite = np.array([t[2] for t in TENANTS])[tenant]
        model = random.choice(len(MODELS), count, p=_shares([m.share for m in MODELS]))
        model = np.where(random.random(count) < 0.5, favourite, model)
        model = np.where(random.random(count) < EMBEDDINGS_SHARE, len(MODELS), model)
        embeds = model == len(MODELS)
        kinds = (*MODELS, EMBEDDER)
        input_tokens = self.trace.input_tokens[places]
        output_tokens = np.where(embeds, 0, self.trace.output_tokens[places])
        first = np.array([m.first for m in kinds])[model] * random.lognormal(0.0, 0.35, count)
        first = first + 5e-5 * input_tokens * ~embeds
        speed = np.array([m.per_token for m in kinds])[model] * random.lognormal(0.0, 0.2, count)
        seconds = first + speed * output_tokens
        error = random.choice(len(ERRORS), count, p=_shares([e[1] for e in ERRORS]))
        error = np.where(random.random(count) < ERROR_SHARE, error, -1)
        known = np.array([e[2] for e in ERRORS])[error] * (0.5 + random.random(count))
        streamed = (random.random(count) < STREAMED_SHARE) & ~embeds & (error < 0)
        return Calls(
            start=start,
            seconds=np.where(error < 0, seconds, np.minimum(known, TIMEOUT)),
            first=np.where(streamed, first, np.nan),
            model=model.astype(np.int64),
            tenant=tenant.astype(np.int64),
            error=error.astype(np.int64),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            chance=random.random(count),
            ids=random.integers(1, 256, (count, 24), np.uint8),
        )


def _shares(weights: list[float]) -> NDArray[np.float64]:
    shares = np.array(weights)
    return np.asarray(shares / shares.sum())


def batches(calls: Calls, size: int = 512) -> Iterator[Calls]:
    """Parts of at most so many calls: what the SDK's batch processor exports at a time."""
    for first in range(0, len(calls), size):
        yield calls.at(np.arange(first, min(first + size, len(calls))))
