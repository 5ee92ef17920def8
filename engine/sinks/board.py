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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from engine.sinks._outbox import EXPIRY_SECONDS
from engine.sinks.book import Entry, read_book, read_ended, write_book
from engine.sinks.shown import Labels, Shown, labels_of
from engine.telemetry.log import log
from slo.decision import Alert, Decision
from slo.model import Objective

# A shard that is still unheard of so long after the first live decision does not exist any more.
CARRIED_SECONDS = 300.0
# The shards' first live decisions come one after another.
SETTLE_SECONDS = 5.0
# After a reload every shard decides within about a second of the first that does; after so long none is
# waited for.
SWITCH_SECONDS = 30.0
# A book that could not be written is tried again.
BOOK_RETRY_SECONDS = 5.0


class Identity(NamedTuple):
    """What makes an alert the same in decisions, whatever labels its objective gives it."""

    objective: str
    group: tuple[str, ...] | None
    severity: str
    consumed: float
    kind: str


class Change(NamedTuple):
    """What began to fire, and what ended (with `ends_at`)."""

    fired: tuple[Shown, ...]
    ended: tuple[Shown, ...]


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


@dataclass(slots=True)
class _Firing:
    """An alert that fires, in one shard or, as an overflow series may, in several."""

    objective: Objective
    labels: Labels
    alerts: dict[str, Alert] = field(default_factory=dict)

    def shown(self) -> Shown:
        """Of an alert in several shards, the one that burns most."""
        newest = max(self.alerts.values(), key=lambda alert: alert.burn_long)
        return Shown(newest, self.objective, self.labels)

    def ended(self, alert: Alert, clock: float, wall: float) -> Shown:
        """It, at its end."""
        starts_at = min(a.starts_at for a in self.alerts.values())
        ends_at = max(min(clock if alert.ends_at is None else alert.ends_at, wall), starts_at)
        return Shown(
            replace(alert, starts_at=starts_at, ends_at=ends_at), self.objective, self.labels
        )


Listener = Callable[[Change], None]


def identity(alert: Alert) -> Identity:
    """The identity of an alert in decisions."""
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
        self._firing: dict[Identity, _Firing] = {}
        for shard, alert in read_book(book) if book else ():
            objective = self.objectives.get(alert.series.objective)
            if objective is not None:
                fresh = _Firing(objective, labels_of(alert, objective))
                self._firing.setdefault(identity(alert), fresh).alerts[shard] = alert
        # What ended a while ago, as it may not have been told before a restart.
        self._over: dict[Labels, Shown] = {}
        for _, alert in read_ended(book) if book else ():
            objective = self.objectives.get(alert.series.objective)
            if objective is not None:
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
            change = self._take(decision)
            if now - self._heard_since > CARRIED_SECONDS:
                change = _joined(change, self._drop_unheard(decision.clock))
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
            return tuple(firing.shown() for firing in self._firing.values())

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

    def _take(self, decision: Decision) -> Change:
        """Bring the firing set up to a decision; what a shard does not name any more has ended."""
        shard = decision.shard
        fired, over = [], []
        ended = {identity(alert): alert for alert in decision.ended}
        now = {identity(a): a for a in decision.alerts if a.series.objective in self.objectives}
        for key, alert in now.items():
            objective = self.objectives[alert.series.objective]
            known = self._firing.get(key)
            if known is not None and known.objective is not objective:
                over += self._renew(key, known, alert, objective, decision.clock)
                known = self._firing.get(key)
            if known is None:
                known = self._firing[key] = _Firing(objective, labels_of(alert, objective))
            begins = not known.alerts
            start = min(
                [a.starts_at for a in known.alerts.values()],
                default=min(alert.starts_at, self._wall()),
            )
            known.alerts[shard] = replace(alert, starts_at=start, ends_at=None)
            if begins:
                fired.append(known.shown())
        for key in [k for k, f in self._firing.items() if shard in f.alerts and k not in now]:
            firing = self._firing[key]
            if len(firing.alerts) == 1:
                over.append(
                    firing.ended(ended.get(key, firing.alerts[shard]), decision.clock, self._wall())
                )
                del self._firing[key]
            else:
                del firing.alerts[shard]
        return Change(tuple(fired), tuple(over))

    def _renew(
        self, key: Identity, known: _Firing, alert: Alert, objective: Objective, clock: float
    ) -> list[Shown]:
        """Bring an alert under a changed objective; what ends by that.

        With other labels it is another alert outside, with another generation it counts something else.
        """
        labels = labels_of(alert, objective)
        counted = {a.series.generation for a in known.alerts.values()}
        if labels == known.labels and counted == {alert.series.generation}:
            known.objective = objective
            return []
        last = known.shown().alert
        del self._firing[key]
        return [known.ended(last, clock, self._wall())]

    def _drop_unheard(self, clock: float) -> Change:
        over = []
        for key, firing in list(self._firing.items()):
            heard = {s for s in firing.alerts if s in self._live or s in self._replaying}
            if not heard:
                over.append(firing.ended(firing.shown().alert, clock, self._wall()))
                del self._firing[key]
            else:
                firing.alerts = {s: a for s, a in firing.alerts.items() if s in heard}
        return Change((), tuple(over))

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
        entries = [Entry(s, a) for f in self._firing.values() for s, a in f.alerts.items()]
        try:
            write_book(self.book, entries, [Entry("", s.alert) for s in self._over.values()])
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


def _joined(first: Change, second: Change) -> Change:
    return Change(first.fired + second.fired, first.ended + second.ended)


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:  # noqa: BLE001 - one listener's fault must stop neither the flow nor the others
        log.exception("a listener failed on a change of alerts")
