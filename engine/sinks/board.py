"""The board: the newest decision of every shard of this process, and the alerts that fire.

The flow's sink publishes; `/metrics`, the Alertmanager sender and the terminal read, from other
threads. Only live decisions count: what the flow replays after a restart is the past.

An alert keeps the `starts_at` under which it was first shown. The book holds what fires, so that
after a restart alerts of the time before are still shown as firing until their shard's first live
decision says otherwise.

After a reload the old objectives and their series stay on the board until every shard has decided under
the new ones; alerts change over shard by shard, each shown with the objective that it was decided under.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.sinks._firing import Change, FiringAlerts, identity, joined
from engine.sinks._outbox import EXPIRY_SECONDS
from engine.sinks.book import Entry, read_book, read_ended, write_book
from engine.sinks.shown import AnyAlert, Labels, Shown, labels_of
from engine.telemetry.log import log
from slo.anomalies.decision import Incident
from slo.decision import Decision
from slo.model import Objective

__all__ = ["Board", "Change", "Snapshot", "identity"]

# A shard that is still unheard of so long after the first live decision does not exist any more.
CARRIED_SECONDS = 300.0
# The shards' first live decisions come one after another.
SETTLE_SECONDS = 5.0
# After a reload every shard decides within about a second of the first that does; after so long none is
# waited for.
SWITCH_SECONDS = 30.0
# A book that could not be written is tried again.
BOOK_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the shards last decided.

    Attributes:
        decisions: the live ones, one a shard.
        settled: every shard has been heard of: an objective without series has no events.
        objectives: what they were decided under, by id; the same object until a reload.
    """

    decisions: tuple[Decision, ...]
    settled: bool
    objectives: Mapping[str, Objective]


Listener = Callable[[Change], None]


class Board:
    """The board of this process; every method may be called from any thread.

    Args:
        objectives: what the decisions are about; alerts of others are dropped.
        book: where firing alerts are kept over a restart; None for nowhere.
        clock: monotonic seconds.
        on_book_failure: told when the book could not be written.
        wall: Unix seconds. Outside nothing begins or ends later than that, although the engine's time is
            ahead of a clock that was set back.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        book: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_book_failure: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        # Replaced at a reload, never changed: whoever holds it may go on reading.
        self.objectives: Mapping[str, Objective] = {o.id: o for o in objectives}
        self.book = book
        self.on_book_failure = on_book_failure
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._shown: Mapping[str, Objective] = self.objectives
        self._live: dict[str, Decision] = {}
        # Decisions under new objectives, while those of the old are still shown; None otherwise.
        self._next: dict[str, Decision] | None = None
        self._next_since: float | None = None
        self._replaying: set[str] = set()
        self._live_since: float | None = None
        # When the shards began to be heard of, anew after a reload.
        self._heard_since = 0.0
        self._last_live: float | None = None
        # When writing the book failed last; None where it holds what fires.
        self._book_failed: float | None = None
        self._firing = FiringAlerts(wall)
        for shard, alert in read_book(book) if book else ():
            if self._knows(alert):
                self._firing.carry(shard, alert, self._objective(alert))
        # What ended a while ago, as it may not have been told before a restart.
        self._over: dict[Labels, Shown] = {}
        for _, alert in read_ended(book) if book else ():
            if self._knows(alert):
                objective = self._objective(alert)
                over = Shown(alert, objective, labels_of(alert, objective))
                self._over[over.labels] = over

    def reload(self, objectives: Sequence[Objective]) -> None:
        """Take decisions about other objectives from now on; none about the old may follow.

        What is shown changes at once when every shard has decided under the new ones.
        """
        with self._lock:
            self.objectives = {o.id: o for o in objectives}
            self._next_since = None
            if self._live:
                self._next = {}
            else:
                self._shown = self.objectives

    def publish(self, decision: Decision) -> None:
        """Take a shard's decision."""
        with self._lock:
            if not decision.live:
                if decision.shard not in self._live:
                    self._replaying.add(decision.shard)
                return
            now = self._clock()
            self._replaying.discard(decision.shard)
            self._last_live = now
            if self._live_since is None:
                self._live_since = self._heard_since = now
            self._show(decision, now)
            change = self._firing.take(
                decision.shard, decision.alerts, decision.ended, decision.clock, self.objectives
            )
            if now - self._heard_since > CARRIED_SECONDS:
                change = joined(change, self._firing.drop(self._is_heard, decision.clock))
            if change.fired or change.ended or self._book_is_due(now):
                self._remember(change)
                self._keep(now)
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
            return Snapshot(tuple(self._live.values()), settled, self._shown)

    def active_alerts(self) -> tuple[Shown, ...]:
        """Every alert that fires, those of the time before a restart among them."""
        with self._lock:
            return self._firing.shown()

    def ended_lately(self) -> tuple[Shown, ...]:
        """What ended in the last minutes, before a restart or since."""
        with self._lock:
            return tuple(self._over.values())

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

    def _show(self, decision: Decision, now: float) -> None:
        """Put a decision's series up; after a reload once all shards have theirs."""
        if self._next is None:
            self._live[decision.shard] = decision
            return
        self._next[decision.shard] = decision
        if self._next_since is None:
            self._next_since = self._heard_since = now
        if self._live.keys() <= self._next.keys() or now - self._next_since >= SWITCH_SECONDS:
            self._live, self._next = self._next, None
            self._shown = self.objectives

    def _is_heard(self, shard: str, _alert: AnyAlert) -> bool:
        return shard in self._live or shard in self._replaying

    def _knows(self, alert: AnyAlert) -> bool:
        return isinstance(alert, Incident) or alert.series.objective in self.objectives

    def _objective(self, alert: AnyAlert) -> Objective | None:
        return None if isinstance(alert, Incident) else self.objectives[alert.series.objective]

    def _book_is_due(self, now: float) -> bool:
        return self._book_failed is not None and now - self._book_failed >= BOOK_RETRY_SECONDS

    def _remember(self, change: Change) -> None:
        """Keep what has ended until it is over for every Alertmanager, told or not."""
        self._over |= {shown.labels: shown for shown in change.ended}
        expired = self._wall() - EXPIRY_SECONDS
        for labels, shown in list(self._over.items()):
            if (shown.alert.ends_at or 0.0) < expired:
                del self._over[labels]
        for shown in change.fired:
            self._over.pop(shown.labels, None)

    def _keep(self, now: float) -> None:
        if self.book is None:
            return
        try:
            write_book(
                self.book, self._firing.entries(), [Entry("", s.alert) for s in self._over.values()]
            )
        except OSError as error:
            # A page that starts anew after a restart is better than a page that never comes.
            self.on_book_failure()
            if self._book_failed is None:
                log.error("the book of firing alerts can't be written; trying on", error=str(error))
            self._book_failed = now
        else:
            if self._book_failed is not None:
                log.info("the book of firing alerts is written again")
            self._book_failed = None


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:  # noqa: BLE001 - one listener's fault must stop neither the flow nor the others
        log.exception("a listener failed on a change of alerts")
