"""Sends alerts to every Alertmanager replica, each on its own: API v2, `POST /api/v2/alerts`.

A replica that is down is tried again for ever, with back-off, and gets the newest state of every
alert when it comes up. It delays neither the other replicas nor the flow. Figures in annotations change all
the time; a replica gets them whenever an alert is sent again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from opentelemetry.trace import SpanKind
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_exponential_jitter
from yarl import URL

from engine.access.credentials import Outgoing
from engine.sinks import watchdog as watchdog_module
from engine.sinks.board import Board
from engine.sinks.outbox import Item, Outbox, Progress, payload
from engine.sinks.shown import Change, Labels, Shown
from engine.sinks.watchdog import Watchdog
from engine.telemetry import tracing
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics

BATCH = 64
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
FIRST_RETRY, LONGEST_RETRY = 0.2, 15.0
Due = list[tuple[Labels, Item]]
Posted = dict[str, Any]


class _Unreachable(Exception):  # noqa: N818 - a state of the replica
    """A replica did not take a batch; to be tried again."""


class Replica:
    """One Alertmanager.

    Args:
        url: its address, with a path prefix where it has one; credentials in it become basic auth.

    Raises:
        ValueError: the address is no `http` or `https` URL.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        self.name = shown(parsed)
        self.headers = {"Content-Type": "application/json"} | authorization(parsed)
        bare = parsed.with_user(None).with_query(None).with_fragment(None)
        self.endpoint = bare.with_path(f"{bare.path.rstrip('/')}/api/v2/alerts")
        self.progress = Progress({})
        self.wake = asyncio.Event()
        self.retry = asyncio.Event()
        self.up: bool | None = None


def _parsed(url: str) -> URL:
    try:
        parsed = URL(url)
        behind_host = f"{parsed.raw_path}{parsed.raw_query_string}{parsed.raw_fragment}"
        usable = parsed.scheme in ("http", "https") and parsed.host and parsed.port
    except ValueError:  # its text would quote a password with a slash in it
        behind_host, usable = "@", False
    if "@" in behind_host:
        raise ValueError(
            "an Alertmanager's address can't be read; write http://HOST:PORT, and / ? # @ in "
            "credentials as %2F %3F %23 %40"
        )
    if not usable:
        raise ValueError(f"{shown(parsed)} is no Alertmanager address; write http://HOST:PORT")
    return parsed


def shown(url: URL) -> str:
    """A URL for logs and labels: without credentials, and without a query, which may hold some."""
    bare = url.with_query(None).with_fragment(None)
    return str(bare.with_user(None)) if url.absolute else str(bare).rsplit("@", 1)[-1]


def authorization(url: URL) -> dict[str, str]:
    """The header for a URL's credentials; none where it has none."""
    if not url.user:
        return {}
    return {"Authorization": aiohttp.encode_basic_auth(url.user, url.password or "")}


class Sender:
    """Keeps Alertmanagers up to date with a board; lives on one event loop.

    Args:
        urls: of every replica.
        board: what fires.
        metrics: counts sends by outcome.
        external_url: the engine's own address for people, the alerts' `generatorURL`.
        access: token and TLS for every replica; a replica whose URL has credentials gets those
            and no token.
        watchdog: sent every minute by itself; None for none.

    Raises:
        ValueError: a URL is none.
    """

    def __init__(
        self,
        urls: Sequence[str],
        board: Board,
        metrics: EngineMetrics,
        external_url: str = "",
        access: Outgoing | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.replicas = [Replica(url) for url in urls]
        self.board = board
        self.metrics = metrics
        self.external_url = external_url
        self.access = access or Outgoing()
        self.watchdog = watchdog
        self.outbox = Outbox()
        for replica in self.replicas:  # so that the first of each is seen by `increase`
            metrics.refused_alerts.labels(replica.name)
            for outcome in ("ok", "refused", "failed"):
                metrics.sends.labels(replica.name, outcome)
        self._ended: list[Shown] = []
        # What ended before a restart: nobody knows who was told of its beginning.
        self._before: dict[Labels, Shown] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Begin to send; alerts of the time before a restart first, and what ended just before it."""
        if not self.replicas:
            return
        loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        self._unsubscribe = self.board.subscribe(
            lambda change: _hand_over(loop, self._changed, change)
        )
        before = self.board.ended_lately()
        self._before = {shown.labels: shown for shown in before}
        self._ended.extend(before)
        self._refresh()
        self._tasks = [asyncio.create_task(self._keep(replica)) for replica in self.replicas]
        if self.watchdog is not None:
            beats = (self._beat(replica, self.watchdog) for replica in self.replicas)
            self._tasks += map(asyncio.create_task, beats)

    async def stop(self, grace: float = 2.0) -> None:
        """Send what is due, within the grace, and stop; alerts that fire are left firing."""
        if self._session is None:
            return
        self._unsubscribe()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refresh()
        try:
            async with asyncio.timeout(grace):
                await asyncio.gather(*(self._send_last(replica) for replica in self.replicas))
        except TimeoutError:
            log.warning("stopped before every Alertmanager had the newest alerts")
        await self._session.close()
        self._session = None

    def _changed(self, change: Change) -> None:
        self._ended.extend(change.ended)
        for replica in self.replicas:
            replica.wake.set()

    def _refresh(self) -> None:
        ended, self._ended = self._ended, []
        self.outbox.update(self.board.active_alerts(), ended, time.time())

    async def _keep(self, replica: Replica) -> None:
        while True:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(Exception),  # whatever fails, paging goes on
                wait=wait_exponential_jitter(multiplier=FIRST_RETRY, max=LONGEST_RETRY, jitter=0.2),
                before_sleep=lambda state: self._down(replica, _error(state)),
                sleep=lambda seconds: _set_within(replica.retry, seconds),
            ):
                with attempt:
                    self._refresh()
                    await self._send_due(replica)
            await _set_within(replica.wake, replica.progress.wait(time.monotonic()))

    async def _beat(self, replica: Replica, watchdog: Watchdog) -> None:
        """Send the Watchdog, as long as it fires; nothing is sent in its stead when it does not."""
        while True:
            posted = watchdog.payload()
            wait = watchdog_module.LOOK_SECONDS
            if posted is not None:
                try:
                    status, text = await self._post(replica, [posted])
                    if status == HTTPStatus.OK:
                        self._count(replica, "ok")
                        wait = watchdog_module.BEAT_SECONDS
                    else:
                        self._down(replica, _Unreachable(f"it answered {status}: {text}"))
                except _Unreachable as error:
                    self._down(replica, error)
            await asyncio.sleep(wait)

    async def _send_due(self, replica: Replica) -> None:
        due: Due = []
        later: Due = []
        for key, item in replica.progress.due(self.outbox, time.monotonic()):
            (later if self._better_later(replica, key, item) else due).append((key, item))
        replica.progress.accept(later, self.outbox, time.monotonic())
        for start in range(0, len(due), BATCH):
            await self._send(replica, due[start : start + BATCH])

    def _better_later(self, replica: Replica, key: Labels, item: Item) -> bool:
        """Whether an end need not be said again yet: another replica has not heard of it.

        It takes the alert for firing and, of a pair that gossips, notifies of it again; the one that has
        the end said again would answer with "resolved", and so on every minute.
        """
        return (
            item.ended
            and replica.progress.has(key, item)
            and not all(other.progress.has(key, item) for other in self.replicas)
        )

    async def _send_last(self, replica: Replica) -> None:
        try:
            await self._send_due(replica)
        except _Unreachable as error:
            log.warning("alerts not sent at the end", replica=replica.name, error=str(error))

    async def _send(self, replica: Replica, batch: Due) -> None:
        now = time.time()
        status, text = await self._post(
            replica, [payload(item.shown, now, self.external_url) for _, item in batch]
        )
        if status == HTTPStatus.OK:
            self._count(replica, "ok")
            since = [(k, item) for k, item in batch if self._before.get(k) is not item.shown]
            for key in replica.progress.missed(since):
                self.metrics.missed_alerts.labels(replica.name).inc()
                log.warning(
                    "an alert came and went while Alertmanager took none; it tells nobody",
                    replica=replica.name,
                    alert=key,
                )
            replica.progress.accept(batch, self.outbox, time.monotonic())
        elif status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            self._count(replica, "refused")
            if len(batch) > 1:  # the whole batch is refused for one of them
                for one in batch:
                    await self._send(replica, [one])
                return
            self.metrics.refused_alerts.labels(replica.name).inc()
            labels, _ = batch[0]
            log.error(
                "Alertmanager refuses an alert",
                replica=replica.name,
                alert=dict(labels),
                answer=text,
            )
            # Tried again when it would be sent again: by then the cause may be mended.
            replica.progress.accept(batch, self.outbox, time.monotonic())
        else:
            raise _Unreachable(f"it answered {status}: {text}")

    async def _post(self, replica: Replica, posted: Sequence[Posted]) -> tuple[int, str]:
        if self._session is None:
            raise _Unreachable("the sender is not started")
        with tracing.span(
            "send alerts", SpanKind.CLIENT, replica=replica.name, alerts=len(posted)
        ) as span:
            status, text = await self._request(self._session, replica, posted)
            span.set_attribute("http.response.status_code", status)
            if status != HTTPStatus.OK:
                tracing.failed(span, str(status))
            return status, text

    async def _request(
        self, session: aiohttp.ClientSession, replica: Replica, posted: Sequence[Posted]
    ) -> tuple[int, str]:
        body = orjson.dumps(posted)
        try:
            async with session.post(
                replica.endpoint,
                data=body,
                headers=self.access.headers() | replica.headers,
                ssl=self.access.ssl(),
                # A POST that is led elsewhere arrives as a GET: a login page's 200 is no Alertmanager's.
                allow_redirects=False,
            ) as answer:
                return answer.status, (await answer.text(errors="replace"))[:500]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Unreachable(f"{type(error).__name__}: {error}") from error

    def _count(self, replica: Replica, outcome: str) -> None:
        self.metrics.sends.labels(replica.name, outcome).inc()
        self.metrics.replica_up.labels(replica.name).set(outcome != "failed")
        if outcome != "failed" and replica.up is False:
            log.info("Alertmanager is reached again", replica=replica.name)
            # So may be the others. Of a pair that gossips one must not hear of an end much before the other:
            # what one still takes for firing, while the other has said that it is over, is notified again.
            for other in self.replicas:
                other.retry.set()
        replica.up = outcome != "failed"

    def _down(self, replica: Replica, error: BaseException | None) -> None:
        if replica.up is not False:  # once, not at each try
            log.warning(
                "Alertmanager takes no alerts; trying on",
                replica=replica.name,
                error=str(error),
                exc_info=None if isinstance(error, _Unreachable) else error,
            )
            # It may be started anew, knowing nothing.
            replica.progress.doubted = time.monotonic()
        self._count(replica, "failed")

    def describe(self) -> str:
        """Where alerts go, for the start-up message."""
        if not self.replicas:
            return "no Alertmanager is configured: alerts go to the log and /metrics"
        return f"alerts go to {', '.join(replica.name for replica in self.replicas)}"


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, so long at most, and clear it."""
    # Not `wait_for`: until Python 3.12 it swallows a cancellation that meets the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()


def _hand_over(
    loop: asyncio.AbstractEventLoop, take: Callable[[Change], None], change: Change
) -> None:
    """Pass a change from the flow's thread to the loop's; a loop that has ended needs none."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(take, change)
