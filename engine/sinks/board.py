"""The board: the newest decision of every shard of this process, and the alerts that fire.

The flow's sink publishes; `/metrics`, the Alertmanager sender and the terminal read, from other
threads. Only live decisions count: what the flow replays after a restart is the past.

An alert keeps the `starts_at` under which it was first shown. The book holds what fires, so that
after a restart alerts of the time before are still shown as firing until their shard's first live
decision says otherwise.

After a reload the old objectives and their series stay on the board until every shard has decided under
the new ones; alerts change over shard by shard, each shown with the objective that it was decided under.

Decisions on anomalies come once an interval. Those that were replayed after a restart are taken as of now
when every shard is up to date: the next one may be minutes away. The board is also where anomalies and
SLOs meet: an incident becomes a page while an SLO of its service burns.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.sinks._firing import NOTHING, RAISED, FiringAlerts, identity, joined
from engine.sinks.book import Entry, read_book, read_ended, write_book
from engine.sinks.outbox import EXPIRY_SECONDS
from engine.sinks.shown import AnyAlert, Burning, Change, Labels, Shown, labels_of
from engine.telemetry.log import log
from slo.anomalies.decision import AnomalyDecision, Incident
from slo.anomalies.model import Monitor
from slo.decision import Decision
from slo.model import Objective
from slo.plan import anomaly_shard_of, shard_of, whole
from slo.usage.messages import UsageTotals

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
        anomalies: the newest decisions on anomalies, one a shard and length of interval.
        monitors: what is watched for them, by id; the same object until a reload.
        usage: what model calls have used, one a shard; of all or none, as shards are added together.
        mine: in a cluster, the objectives of which this process has the series of all events, and which are
            shown although nothing has come of them; the same object until they change. Else None: all are.
    """

    decisions: tuple[Decision, ...]
    settled: bool
    objectives: Mapping[str, Objective]
    anomalies: tuple[AnomalyDecision, ...] = ()
    monitors: Mapping[str, Monitor] = field(default_factory=dict)
    usage: tuple[UsageTotals, ...] = ()
    mine: Mapping[str, Objective] | None = None


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
        monitors: what is watched for anomalies.
        cluster_shards: how many shards there are, where this process has only some of them; else 0.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        book: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_book_failure: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
        monitors: Sequence[Monitor] = (),
        cluster_shards: int = 0,
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
        self.monitors: Mapping[str, Monitor] = {m.id: m for m in monitors}
        self._anomalies: dict[tuple[str, int], AnomalyDecision] = {}
        # Replayed ones, until every shard is up to date.
        self._replayed: dict[tuple[str, int], AnomalyDecision] = {}
        # Of which shards' anomalies has been heard since the start or the last reload.
        self._watched: set[str] = set()
        self._usage: dict[str, UsageTotals] = {}
        self._usage_since: float | None = None
        self._live_since: float | None = None
        # When the shards began to be heard of, anew after a reload.
        self._heard_since = 0.0
        self._last_live: float | None = None
        # When writing the book failed last; None where it holds what fires.
        self._book_failed: float | None = None
        self._firing = FiringAlerts(wall)
        self._cluster_shards = cluster_shards
        # In a cluster: entries of all books, by shard, until it is known whose the shard is now.
        self._expected: dict[str, list[Entry]] = {}
        # What burns on the boards of other processes, and which of them have not told yet.
        self._burning: dict[int, Mapping[str, Burning]] = {}
        self._untold: set[int] = set()
        # The book has this process's own entries only.
        self._sorted = False
        self._mine: Mapping[str, Objective] = {}
        self._mine_of: tuple[Mapping[str, Objective], frozenset[str]] = ({}, frozenset())
        for entry in read_book(book) if book and not cluster_shards else ():
            self._carry(entry)
        # What ended a while ago, as it may not have been told before a restart.
        self._over: dict[Labels, Shown] = {}
        for _, alert in read_ended(book) if book else ():
            if self._knows(alert):
                objective = self._objective(alert)
                over = Shown(alert, objective, labels_of(alert, objective))
                self._over[over.labels] = over

    def reload(
        self, objectives: Sequence[Objective], monitors: Sequence[Monitor] | None = None
    ) -> None:
        """Take decisions about other objectives from now on; none about the old may follow.

        What is shown changes at once when every shard has decided under the new ones.

        Args:
            objectives: the others.
            monitors: likewise; None for those of before.
        """
        with self._lock:
            self.objectives = {o.id: o for o in objectives}
            if monitors is not None:
                self.monitors = {m.id: m for m in monitors}
            self._watched = set()
            self._next_since = None
            if self._live:
                self._next = {}
            else:
                self._shown = self.objectives

    def expect(self, entries: Sequence[Entry], others: Iterable[int]) -> None:
        """In a cluster, before the flow: take what fired as the processes' books have it.

        An entry counts once its shard turns out to be of this process; whoever else has it decides on it.

        Args:
            entries: of all books.
            others: the other processes, which will tell what burns with them.
        """
        with self._lock:
            self._untold = set(others)
            for entry in filter(lambda entry: self._knows(entry.alert), entries):
                self._expected.setdefault(self._home(entry), []).append(entry)

    def publish_burning(self, process: int, burning: Mapping[str, Burning]) -> None:
        """Take what burns on the board of another process."""
        with self._lock:
            self._untold.discard(process)
            self._burning[process] = burning
            change = self._firing.raise_tickets(self._wall(), self._burning_elsewhere())
            listeners = self._follow(change, self._clock())
        self._say(change, listeners)

    def burning(self) -> dict[str, Burning] | None:
        """What burns by this board's decisions, by service; None until every shard is up to date."""
        with self._lock:
            return self._firing.burning() if self._settled() else None

    def publish(self, decision: Decision) -> None:
        """Take a shard's decision."""
        with self._lock:
            for entry in self._expected.pop(decision.shard, ()):
                self._carry(entry)
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
            if self._replayed and self._settled():
                replayed, self._replayed = self._replayed, {}
                change = joined(change, *map(self._take_anomalies, replayed.values()))
            if now - self._heard_since > CARRIED_SECONDS:
                change = joined(change, self._firing.drop(self._is_heard, decision.clock))
            if change != NOTHING:
                elsewhere = self._burning_elsewhere()
                change = joined(change, self._firing.raise_tickets(decision.clock, elsewhere))
            listeners = self._follow(change, now)
        self._say(change, listeners)

    def publish_anomalies(self, decision: AnomalyDecision) -> None:
        """Take a shard's decision on the anomalies of one length of interval."""
        with self._lock:
            if not decision.live:
                # After a failure of the flow what is replayed may be older than what is shown.
                shown = self._anomalies.get((decision.shard, decision.every))
                if shown is None or decision.at > shown.at:
                    self._replayed[decision.shard, decision.every] = decision
                return
            self._replayed.pop((decision.shard, decision.every), None)
            change = self._take_anomalies(decision)
            elsewhere = self._burning_elsewhere()
            change = joined(change, self._firing.raise_tickets(decision.clock, elsewhere))
            listeners = self._follow(change, self._clock())
        self._say(change, listeners)

    def publish_usage(self, totals: UsageTotals) -> None:
        """Take a shard's totals of what model calls used; they are live ones, and never less than before."""
        with self._lock:
            self._usage[totals.shard] = totals
            if self._usage_since is None:
                self._usage_since = self._clock()

    def snapshot(self) -> Snapshot:
        """The newest live decision of each shard."""
        with self._lock:
            return Snapshot(
                tuple(self._live.values()),
                self._settled(),
                self._shown,
                tuple(self._anomalies.values()),
                self.monitors,
                self._whole_usage(),
                self._own_objectives() if self._cluster_shards else None,
            )

    def told(self) -> tuple[AnyAlert, ...]:
        """What fires as it was told last, by this process or, in a cluster, by whoever had its shard."""
        with self._lock:
            expected = (entry.alert for entries in self._expected.values() for entry in entries)
            return (*(shown.alert for shown in self._firing.shown()), *expected)

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

    def _carry(self, entry: Entry) -> None:
        if self._knows(entry.alert):
            self._firing.carry(entry.shard, entry.alert, self._objective(entry.alert))

    def _home(self, entry: Entry) -> str:
        """The shard whose process has an alert: an incident, and a page made of it, that of its service."""
        if isinstance(entry.alert, Incident):
            return anomaly_shard_of(entry.alert.service, self._cluster_shards)
        return entry.shard

    def _burning_elsewhere(self) -> Iterable[Mapping[str, Burning]]:
        """What burns with other processes; until all have told it, what did before the restart too."""
        yield from self._burning.values()
        if self._untold:
            for entry in (entry for entries in self._expected.values() for entry in entries):
                alert = entry.alert
                if not isinstance(alert, Incident) and alert.kind == "burn":
                    objective = self.objectives[alert.series.objective]
                    yield {objective.service: Burning(alert.starts_at, objective.id)}

    def _own_objectives(self) -> Mapping[str, Objective]:
        shards = frozenset(self._live)
        if self._mine_of[0] is not self._shown or self._mine_of[1] != shards:
            self._mine_of = self._shown, shards
            self._mine = {
                id_: objective
                for id_, objective in self._shown.items()
                if shard_of(whole(objective), self._cluster_shards) in shards
            }
        return self._mine

    def _settled(self) -> bool:
        """Whether every shard has been heard of live."""
        since = self._live_since
        return since is not None and not self._replaying and self._clock() - since >= SETTLE_SECONDS

    def _whole_usage(self) -> tuple[UsageTotals, ...]:
        """All shards' totals: what is in several of them must not seem to have shrunk after a restart.

        In a cluster the others are on the boards of other processes, and are not waited for.
        """
        if self._usage_since is None:
            return ()
        totals = tuple(self._usage.values())
        waited = self._clock() - self._usage_since >= SETTLE_SECONDS
        return totals if waited or len(totals) >= totals[0].shards else ()

    def _take_anomalies(self, decision: AnomalyDecision) -> Change:
        self._anomalies[decision.shard, decision.every] = decision
        shard = _anomalies_of(decision.shard)
        self._watched.add(shard)
        # After a kill the first moments that are decided on live may be older than what was told before.
        over = {identity(shown.alert) for shown in self._over.values()}
        now = [incident for incident in decision.incidents if identity(incident) not in over]
        now += self._firing.opened_after(shard, decision.at)
        return self._firing.take(shard, now, decision.ended, decision.clock, {})

    def _follow(self, change: Change, now: float) -> Sequence[Listener]:
        """Keep what follows from a change; who is to be told."""
        # Once it is known whose each shard is, the book is of this process's alone.
        sorts = bool(self._cluster_shards) and not self._sorted and self._settled()
        self._sorted |= sorts
        if change != NOTHING or sorts or self._book_is_due(now):
            self._remember(change)
            self._keep(now)
        return list(self._listeners)

    def _say(self, change: Change, listeners: Sequence[Listener]) -> None:
        if change != NOTHING:
            for listener in listeners:
                _tell(listener, change)

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

    def _is_heard(self, shard: str, alert: AnyAlert) -> bool:
        if not isinstance(alert, Incident):
            return shard in self._live or shard in self._replaying
        if shard == RAISED or shard in self._watched:
            return True
        # Its readings come once an interval, so its shard may be heard of later than others.
        longest = max(member.every for member in alert.members)
        return self._clock() - self._heard_since <= CARRIED_SECONDS + 2 * longest

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
            entries = self._firing.entries()
            if not self._sorted:
                entries += [entry for expected in self._expected.values() for entry in expected]
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


def _anomalies_of(shard: str) -> str:
    """The name under which a shard's incidents are kept beside its SLOs' alerts."""
    return f"anomalies {shard}"


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:  # noqa: BLE001 - one listener's fault must stop neither the flow nor the others
        log.exception("a listener failed on a change of alerts")
