"""The board: the newest decision of every shard of this process, and the alerts that fire.

The flow's sink publishes; `/metrics`, the Alertmanager sender and the terminal read, from other
threads. Only live decisions count: what the flow replays after a restart is the past.

An alert keeps the `starts_at` under which it was first shown. The book holds what fires, so that
after a restart alerts of the time before are still shown as firing until their shard's first live
decision says otherwise.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from engine.book import Entry, read_book, write_book
from engine.log import log
from slo.decision import Alert, Decision
from slo.model import Objective

# A shard that is still unheard of so long after the first live decision does not exist any more.
CARRIED_SECONDS = 300.0
# The shards' first live decisions come one after another.
SETTLE_SECONDS = 5.0


class Identity(NamedTuple):
    """What makes an alert the same outside: its labels, in short."""

    objective: str
    group: tuple[str, ...] | None
    severity: str
    consumed: float
    kind: str


class Change(NamedTuple):
    """What began to fire, and what ended (with `ends_at`)."""

    fired: tuple[Alert, ...]
    ended: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the shards last decided.

    Attributes:
        decisions: the live ones, one a shard.
        settled: every shard has been heard of: an objective without series has no events.
    """

    decisions: tuple[Decision, ...]
    settled: bool


Listener = Callable[[Change], None]


def identity(alert: Alert) -> Identity:
    """The identity of an alert outside."""
    series = alert.series
    level = alert.consumed or 0.0
    return Identity(series.objective, series.group, alert.severity, level, alert.kind)


class Board:
    """The board of this process; every method may be called from any thread.

    Args:
        objectives: what the decisions are about; alerts of others are dropped.
        book: where firing alerts are kept over a restart; None for nowhere.
        clock: monotonic seconds.
        on_book_failure: told when the book could not be written.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        book: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_book_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.objectives = {o.id: o for o in objectives}
        self.book = book
        self.on_book_failure = on_book_failure
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._live: dict[str, Decision] = {}
        self._replaying: set[str] = set()
        self._live_since: float | None = None
        self._last_live: float | None = None
        # By identity, then by shard: an overflow series may burn in several shards.
        self._firing: dict[Identity, dict[str, Alert]] = {}
        for shard, alert in read_book(book) if book else ():
            if alert.series.objective in self.objectives:
                self._firing.setdefault(identity(alert), {})[shard] = alert

    def publish(self, decision: Decision) -> None:
        """Take a shard's decision."""
        with self._lock:
            if not decision.live:
                self._replaying.add(decision.shard)
                return
            now = self._clock()
            self._replaying.discard(decision.shard)
            self._last_live = now
            if self._live_since is None:
                self._live_since = now
            self._live[decision.shard] = decision
            change = self._take(decision)
            if now - self._live_since > CARRIED_SECONDS:
                change = _joined(change, self._drop_unheard(decision.clock))
            if change.fired or change.ended:
                self._keep()
            listeners = list(self._listeners)
        if change.fired or change.ended:
            for listener in listeners:
                _tell(listener, change)

    def snapshot(self) -> Snapshot:
        """The newest live decision of each shard."""
        with self._lock:
            since = self._live_since
            settled = (
                since is not None
                and not self._replaying
                and self._clock() - since >= SETTLE_SECONDS
            )
            return Snapshot(tuple(self._live.values()), settled)

    def active_alerts(self) -> tuple[Alert, ...]:
        """Every alert that fires, those of the time before a restart among them."""
        with self._lock:
            return tuple(_newest(alerts) for alerts in self._firing.values())

    def live_age(self) -> float | None:
        """Seconds since the last live decision; None before the first."""
        with self._lock:
            return None if self._last_live is None else self._clock() - self._last_live

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be told of changes, on the flow's thread: return soon; the value ends it."""
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def _take(self, decision: Decision) -> Change:
        """Bring the firing set up to a decision; what a shard does not name any more has ended."""
        shard = decision.shard
        fired, over = [], []
        ended = {identity(alert): alert for alert in decision.ended}
        now = {identity(a): a for a in decision.alerts if a.series.objective in self.objectives}
        for key, alert in now.items():
            known = self._firing.get(key)
            start = min(a.starts_at for a in known.values()) if known else alert.starts_at
            alert = replace(alert, starts_at=start, ends_at=None)  # noqa: PLW2901 - the same alert
            self._firing.setdefault(key, {})[shard] = alert
            if not known:
                fired.append(alert)
        for key in [k for k, alerts in self._firing.items() if shard in alerts and k not in now]:
            last = self._firing[key].pop(shard)
            if not self._firing[key]:
                del self._firing[key]
                over.append(_end(last, ended.get(key, last), decision.clock))
        return Change(tuple(fired), tuple(over))

    def _drop_unheard(self, clock: float) -> Change:
        over = []
        for key, alerts in list(self._firing.items()):
            for shard in [s for s in alerts if s not in self._live and s not in self._replaying]:
                last = alerts.pop(shard)
                if not alerts:
                    del self._firing[key]
                    over.append(_end(last, last, clock))
        return Change((), tuple(over))

    def _keep(self) -> None:
        if self.book is None:
            return
        entries = [Entry(s, a) for alerts in self._firing.values() for s, a in alerts.items()]
        try:
            write_book(self.book, entries)
        except OSError as error:
            # A page that starts anew after a restart is better than a page that never comes.
            self.on_book_failure()
            log.error("the book of firing alerts can't be written", error=str(error))


def _newest(alerts: dict[str, Alert]) -> Alert:
    """Of an alert in several shards, the one that burns most."""
    return max(alerts.values(), key=lambda alert: alert.burn_long)


def _end(known: Alert, ended: Alert, clock: float) -> Alert:
    ends_at = max(clock if ended.ends_at is None else ended.ends_at, known.starts_at)
    return replace(ended, starts_at=known.starts_at, ends_at=ends_at)


def _joined(first: Change, second: Change) -> Change:
    return Change(first.fired + second.fired, first.ended + second.ended)


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:  # noqa: BLE001 - one listener's fault must stop neither the flow nor the others
        log.exception("a listener failed on a change of alerts")
