"""A cluster as discrete events: workers that read, count, tell each other and decide; snapshots; restarts.

A worker is a loop, as Bytewax's is: it takes what others have told it, counts it and decides, then reads what
its parts of the input have and tells the others. Of its time a share holds the interpreter's lock, which the
workers of a process have one of. What goes to another process is pickled, and unpickled there. Every epoch
it stands still for a snapshot, and nobody gets more than an epoch ahead of the slowest. Costs are those
that were measured (`Costs`); rates and sizes are what is asked about (`Cluster`).
"""

import heapq
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.scale.series import SPREAD

# Seconds after which Python's interpreter gives the lock to another thread.
SWITCH = 0.005


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a core, and bytes.

    Attributes:
        span: to decode and count a span.
        arrival: to measure a batch, however small.
        entry: to make a series' count of a batch.
        locked: share of a span's time that holds the interpreter's lock; what comes by batch and series does.
        deposit: to decide on a shard once, however small.
        counted: to take in a series' count.
        row: more for each series of the shard.
        tick: of each series, each second.
        told: to pickle a deposit, and as much to unpickle it.
        told_entry: more for each series in it.
        told_bytes: of a deposit.
        told_entry_bytes: more for each series in it.
        saved: to pickle a series, on average of all snapshots.
        saved_bytes: likewise.
        resumed: to read a series again.
    """

    span: float = 1.0e-6
    arrival: float = 2e-3
    entry: float = 3e-6
    locked: float = 0.03
    deposit: float = 0.2e-3
    counted: float = 2e-6
    row: float = 0.045e-6
    tick: float = 0.18e-6
    told: float = 15e-6
    told_entry: float = 1.3e-6
    told_bytes: float = 205.0
    told_entry_bytes: float = 92.0
    saved: float = 0.6e-6
    saved_bytes: float = 440.0
    resumed: float = 20e-6


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is asked about.

    Attributes:
        processes: how many.
        workers: of each.
        shards: of the flow.
        series: in all.
        rate: spans a second, in all; 0 for a backlog that never ends.
        batch: spans that a worker reads at most at once.
        pace: seconds between reads where there is no backlog.
        epoch: seconds between snapshots.
        local: the input is parted by what series are grouped by, so that a worker's spans are of its own
            share of the series; otherwise each sees all.
        objectives: SLOs that count each span.
    """

    processes: int = 1
    workers: int = 1
    shards: int = 16
    series: int = 303
    rate: float = 0.0
    batch: int = 96_000
    pace: float = 0.05
    epoch: float = 10.0
    local: bool = False
    objectives: int = 1

    @property
    def all_workers(self) -> int:
        """Of all processes."""
        return self.processes * self.workers


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
        throughput: spans a second that were decided on.
        busy: share of the workers' time.
        waited: seconds that the oldest undecided span waited, at worst and at the median.
        entries: series that a read told of, on average.
        exchanged: bytes a second that one process sends.
        deposits: deposits a second that one worker takes from others.
        stall: longest snapshot, seconds.
        saved: bytes a second to the recovery volumes, of one process.
    """

    throughput: float
    busy: float
    waited: tuple[float, float]
    entries: float
    exchanged: float
    deposits: float
    stall: float
    saved: float


class Distinct:
    """How many different series so many spans are of, where series are as uneven as tenants are."""

    def __init__(self, series: int, spread: float = SPREAD) -> None:
        points = (np.arange(512) + 0.5) / 512
        # Quantiles of the normal distribution, by its logistic neighbour: good to a percent or two here.
        weights = np.exp(spread * np.log(points / (1 - points)) / 1.702)
        self.series = series
        self.shares = weights / weights.sum()

    def among(self, spans: float) -> float:
        """Expected number."""
        if self.series <= 1:
            return float(min(self.series, spans))
        each = self.series / len(self.shares)
        return float(each * -np.expm1(-spans * self.shares / each).sum())


class _Told(NamedTuple):
    """What every worker has been told so far by some: parts of deposits, each worker's own, are alike."""

    deposits: float = 0.0
    entries: float = 0.0

    def plus(self, deposits: float, entries: float) -> "_Told":
        """This and more."""
        return _Told(self.deposits + deposits, self.entries + entries)

    def since(self, other: "_Told") -> "_Told":
        """What came since then."""
        return _Told(self.deposits - other.deposits, self.entries - other.entries)


_NOTHING = _Told()


class _Worker:
    """What a worker has before it."""

    __slots__ = ("backlog", "epoch", "heard", "number", "process", "read_at", "since")

    def __init__(self, number: int, process: int) -> None:
        self.number = number
        self.process = process
        self.heard = (_NOTHING, _NOTHING)
        self.backlog = 0.0
        self.read_at = 0.0
        self.since = 0.0
        self.epoch = 0


class _Work(NamedTuple):
    """What a worker does next.

    Attributes:
        seconds: how long it takes.
        locked: with the lock of its process.
        waits: it does nothing.
    """

    seconds: float
    locked: bool = False
    waits: bool = False


class _Run:
    """A cluster on its way.

    Args:
        cluster: what it is.
        costs: what things cost.
    """

    def __init__(self, cluster: Cluster, costs: Costs) -> None:
        self.cluster, self.costs = cluster, costs
        many = cluster.all_workers
        self.workers = [_Worker(n, n // cluster.workers) for n in range(many)]
        self.owned = cluster.shards / many
        self.rows = cluster.series * cluster.objectives / cluster.shards
        self.distinct = Distinct(round(cluster.series / (many if cluster.local else 1)))
        self.told = _NOTHING
        self.told_within = [_NOTHING] * cluster.processes
        self.epochs = np.zeros(many, np.int64)
        self.slowest = 0
        self.decided = self.entries = self.sent = self.taken = self.stall = 0.0
        self.reads = 0
        self.waits: list[float] = []

    def life(self, worker: _Worker) -> Generator["_Work", float, None]:
        """A worker's loop; yields what it does next, and is sent the time when that is done."""
        cluster, costs, many = self.cluster, self.costs, len(self.workers)
        now = yield _Work(worker.number * cluster.pace / many)  # they do not read in step
        while True:
            due = int(now / cluster.epoch)
            if due > worker.epoch:
                # Nobody is more than an epoch ahead.
                while worker.epoch > self.slowest:
                    self.slowest = int(self.epochs.min())
                    now = yield _Work(0.0 if worker.epoch <= self.slowest else 0.01)
                length = self.owned * self.rows * costs.saved
                self.stall = max(self.stall, length)
                worker.epoch = self.epochs[worker.number] = due
                now = yield _Work(length, locked=True)
            heard = self.hear(worker)
            if heard:
                now = yield _Work(heard, locked=True)
            passed, worker.since = now - worker.since, now
            worker.backlog += cluster.rate / many * passed
            now = yield _Work(self.owned * self.rows * costs.tick * passed, locked=True)
            spans = min(worker.backlog, cluster.batch) if cluster.rate else float(cluster.batch)
            if spans < 1 or now < worker.read_at:
                now = yield _Work(max(1e-3, worker.read_at - now), waits=True)
                continue
            began = now
            if cluster.rate:
                worker.backlog -= spans
            found = self.distinct.among(spans) * cluster.objectives
            yield _Work(spans * costs.span * (1 - costs.locked))
            away = many - cluster.workers
            deposits, entries = min(cluster.shards, found) / many, found / many
            length = spans * costs.span * costs.locked + costs.arrival + found * costs.entry
            length += away * (deposits * costs.told + entries * costs.told_entry)
            now = yield _Work(length, locked=True)
            self.tell(worker, spans, deposits, entries)
            if cluster.rate:
                self.waits.append(now - began + (worker.backlog + spans) * many / cluster.rate)
            more = not cluster.rate or worker.backlog >= cluster.batch
            worker.read_at = now if more else began + cluster.pace

    def hear(self, worker: _Worker) -> float:
        """Seconds to take in what all have told; what came meanwhile of a shard is decided on as one."""
        now = (self.told, self.told_within[worker.process])
        came, within = (new.since(old) for new, old in zip(now, worker.heard, strict=True))
        worker.heard = now
        if not came.deposits:
            return 0.0
        costs, away = self.costs, came.since(within)
        self.taken += away.deposits
        shards = min(self.owned, came.deposits)
        return (
            away.deposits * costs.told
            + away.entries * costs.told_entry
            + came.entries * costs.counted
            + shards * (costs.deposit + self.rows * costs.row)
        )

    def tell(self, worker: _Worker, spans: float, deposits: float, entries: float) -> None:
        """Tell each worker, this one too, so many deposits with so many entries."""
        mine, costs, many = worker.process, self.costs, len(self.workers)
        self.told = self.told.plus(deposits, entries)
        self.told_within[mine] = self.told_within[mine].plus(deposits, entries)
        away = many - self.cluster.workers
        self.sent += away * (deposits * costs.told_bytes + entries * costs.told_entry_bytes)
        self.decided += spans
        self.entries += entries * many
        self.reads += 1


def simulate(cluster: Cluster, costs: Costs, seconds: float) -> Outcome:
    """Run a cluster for so many seconds of its own time."""
    run = _Run(cluster, costs)
    lives = [run.life(worker) for worker in run.workers]
    events = []
    for number, life in enumerate(lives):
        heapq.heappush(events, (next(life).seconds, number))
    lock = [0.0] * cluster.processes
    left = [0.0] * len(lives)  # of what needs the lock
    busy = 0.0
    while events[0][0] < seconds:
        now, number = events[0]
        if not left[number]:
            work = lives[number].send(now)
            busy += 0.0 if work.waits else work.seconds
            if not work.locked or not work.seconds:
                heapq.heapreplace(events, (now + work.seconds, number))
                continue
            left[number] = work.seconds
        # The lock goes round: whoever has it gives it up after a while if another waits for it.
        mine = run.workers[number].process
        part = left[number] if cluster.workers == 1 else min(left[number], SWITCH)
        left[number] -= part
        lock[mine] = max(now, lock[mine]) + part
        heapq.heapreplace(events, (lock[mine], number))
    waits = sorted(run.waits) or [0.0]
    series = cluster.series * cluster.objectives
    return Outcome(
        throughput=run.decided / seconds,
        busy=busy / seconds / len(lives),
        waited=(waits[-1], waits[len(waits) // 2]),
        entries=run.entries / max(run.reads, 1),
        exchanged=run.sent / seconds / cluster.processes,
        deposits=run.taken / seconds / len(lives),
        stall=run.stall,
        saved=series * costs.saved_bytes / cluster.epoch / cluster.processes,
    )
