"""Pushes what `/metrics` shows to receivers of Prometheus remote write 1.0, each on its own.

Samples are taken every interval, whatever the receivers do. One that is down is tried again, with
back-off, and gets what it missed, in order, as far back as its backlog reaches. It delays neither
the other receivers nor the flow.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter

from engine.access.credentials import Outgoing
from engine.sinks._remote_backlog import Chunk, Samples
from engine.sinks._remote_protobuf import encode_request
from engine.sinks._remote_receiver import Receiver, number_alike, retry_after
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
FIRST_RETRY, LONGEST_RETRY = 0.2, 15.0
# A receiver that refuses samples is spoken of once in so many seconds.
QUIET_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class RemoteWrite:
    """What is pushed where.

    Attributes:
        urls: of every receiver, whole: `http://HOST:PORT/api/v1/write`.
        interval: seconds from one sample of a series to the next.
        keep: seconds for which samples wait for a receiver that is down.
        labels: of every series; `job` and `instance` are added where they are not among them.
        access: token and TLS for every receiver; one whose URL has credentials gets those and no token.
    """

    urls: tuple[str, ...] = ()
    interval: float = 15.0
    keep: float = 900.0
    labels: Mapping[str, str] = field(default_factory=dict)
    access: Outgoing = field(default_factory=Outgoing)


class _NotTaken(Exception):  # noqa: N818 - a state of the receiver
    """A receiver did not take a request; to be tried again, after so many seconds at least."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class RemoteWriter:
    """Keeps receivers supplied; lives on one event loop.

    Args:
        config: where to.
        metrics: counts what is sent.
        executor: samples are taken there, off the event loop.

    Raises:
        ValueError: a URL is none.
    """

    def __init__(
        self,
        config: RemoteWrite,
        metrics: EngineMetrics,
        executor: Executor,
    ) -> None:
        self.config = config
        self.metrics = metrics
        self.executor = executor
        self.receivers = [Receiver(url, config.keep) for url in config.urls]
        number_alike(self.receivers)
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._take: Callable[[], Samples] | None = None

    async def start(self, take: Callable[[], Samples]) -> None:
        """Begin to push.

        Args:
            take: takes samples; called on the executor.
        """
        if not self.receivers:
            return
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        self._take = take
        for receiver in self.receivers:
            self.metrics.watch_receiver(receiver.name, receiver.waiting)
        self._tasks = [asyncio.create_task(self._keep(receiver)) for receiver in self.receivers]
        self._tasks.append(asyncio.create_task(self._record()))

    async def stop(self, grace: float = 2.0) -> None:
        """Take a last time, send what waits within the grace, and stop."""
        if self._session is None:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(grace):
                await self._add_samples()
                await asyncio.gather(*(self._send_last(receiver) for receiver in self.receivers))
        except TimeoutError:
            log.warning("stopped before every remote write receiver had answered")
        finally:
            for receiver in self.receivers:
                self._left(receiver)
            await self._session.close()
            self._session = None

    async def _record(self) -> None:
        due = time.monotonic()
        while True:
            await self._add_samples()
            # After a pause of the machine once, not once for every interval that was missed.
            due = max(due + self.config.interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _add_samples(self) -> None:
        if self._take is None:
            return
        loop = asyncio.get_running_loop()
        try:
            samples = await loop.run_in_executor(self.executor, self._take)
        except Exception:  # noqa: BLE001 - told, and the next samples may be whole again
            log.exception("samples for remote write could not be taken")
            return
        for receiver in self.receivers:
            self._dropped(receiver, "backlog", receiver.backlog.add(samples))
            receiver.wake.set()

    async def _keep(self, receiver: Receiver) -> None:
        while True:
            receiver.wake.clear()
            while not receiver.backlog.empty():
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception_type(Exception),  # whatever fails, it goes on
                    wait=_wait,
                    before_sleep=lambda state: self._down(receiver, state),
                ):
                    with attempt:  # what is oldest may have changed while it was waited
                        await self._send_next(receiver)
            await receiver.wake.wait()

    async def _send_last(self, receiver: Receiver) -> None:
        with contextlib.suppress(_NotTaken):  # what is left is told
            while not receiver.backlog.empty():
                await self._send_next(receiver)

    def _left(self, receiver: Receiver) -> None:
        if pending := receiver.waiting():
            self._dropped(receiver, "stopped", pending)
            log.warning("samples for remote write are lost", url=receiver.name, samples=pending)

    async def _send_next(self, receiver: Receiver) -> None:
        chunk = receiver.backlog.begin()
        if chunk is None:
            return
        try:
            await self._send(receiver, chunk)
        except (_NotTaken, asyncio.CancelledError):
            self._dropped(receiver, "backlog", receiver.backlog.failed())
            raise
        receiver.backlog.done(chunk)

    async def _send(self, receiver: Receiver, chunk: Chunk) -> None:
        status, text, after = await self._post(receiver, chunk)
        size = chunk.stop - chunk.start
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            self.metrics.remote_samples.labels(receiver.name).inc(size)
            self._answered(receiver, taken=True)
        elif status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _NotTaken(f"it answered {status}: {text}", after)
        else:
            # Not to be tried again, says the protocol: no later answer will differ.
            self._answered(receiver, taken=False)
            self._refused(receiver, size, f"{status}: {text}")

    async def _post(self, receiver: Receiver, chunk: Chunk) -> tuple[int, str, float]:
        """Status, text and Retry-After of the answer."""
        if self._session is None:
            raise _NotTaken("the writer is not started")
        samples, start, stop = chunk
        body = encode_request(samples.series[start:stop], samples.values[start:stop], samples.stamp)
        try:
            async with self._session.post(
                receiver.url,
                data=body,
                headers=self.config.access.headers() | receiver.headers,
                ssl=self.config.access.ssl(),
                allow_redirects=False,
            ) as answer:
                text = (await answer.content.read(500)).decode(errors="replace").strip()
                return answer.status, text, retry_after(answer.headers.get("Retry-After", ""))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _NotTaken(f"{type(error).__name__}: {error}") from error

    def _answered(self, receiver: Receiver, *, taken: bool) -> None:
        if receiver.up is False:
            log.info(
                "the remote write receiver is reached again",
                url=receiver.name,
                waiting=receiver.backlog.pending,
            )
        receiver.up = True
        self.metrics.remote_up.labels(receiver.name).set(taken)

    def _down(self, receiver: Receiver, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if receiver.up is not False:  # once, not at each try
            log.warning(
                "remote write fails; trying on, samples wait",
                url=receiver.name,
                error=str(error),
                exc_info=None if isinstance(error, _NotTaken) else error,
            )
        receiver.up = False
        self.metrics.remote_up.labels(receiver.name).set(0)
        self.metrics.remote_failures.labels(receiver.name).inc()

    def _refused(self, receiver: Receiver, size: int, answer: str) -> None:
        self._dropped(receiver, "refused", size)
        now = time.monotonic()
        if now - receiver.complained >= QUIET_SECONDS:
            receiver.complained = now
            log.error(
                "the remote write receiver refuses samples; they are dropped, and so are others that "
                "it refuses in the next minutes",
                url=receiver.name,
                samples=size,
                answer=answer,
            )

    def _dropped(self, receiver: Receiver, reason: str, count: int) -> None:
        if count:
            self.metrics.remote_dropped.labels(receiver.name, reason).inc(count)

    def describe(self) -> str:
        """Where samples go, for the start-up message; empty for nowhere."""
        return ", ".join(receiver.name for receiver in self.receivers)


def _wait(state: RetryCallState) -> float:
    """Back off, and at least as long as the receiver asked for."""
    backoff = wait_exponential_jitter(multiplier=FIRST_RETRY, max=LONGEST_RETRY, jitter=0.2)(state)
    error = state.outcome.exception() if state.outcome else None
    return max(backoff, error.after) if isinstance(error, _NotTaken) else backoff
