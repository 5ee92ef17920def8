"""What series cost: memory, snapshots, ticks, batches, recovery, `/metrics`; by the flow's own steps.

Sixteen shards are alike, so one is measured, with a sixteenth of the series; its figures are times sixteen.
Times are of the processor: the machine may be busy with other things.
"""

import gc
import resource
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.scale.series import Steps, Stopwatch, plan_of
from engine.sinks.board import Snapshot
from engine.sinks.exposition import Exposition
from slo.decision import Decision
from slo.plan import Plan

SHARDS = 16
SIZES = (1_000, 10_000, 100_000, 1_000_000)
CLOCK = 1_800_000_000.0
PACE = 0.05
# A step is saved when it was awake: level 0 and decisions always, the others when their finer level's
# bucket closes. Of a snapshot each ten seconds these are their shares.
EVERY = {
    "intake": 1,
    "window_30s": 3,
    "window_1m30s": 9,
    "window_15m": 90,
    "window_2h": 720,
    "decide": 1,
}
SNAPSHOT_SECONDS = 10.0
# Rendering more lines than this at a time would take more memory than the machine has to spare.
MOST_RENDERED = 100_000


class Cost(NamedTuple):
    """Of all sixteen shards together.

    Attributes:
        series: how many.
        memory: bytes a series, of the process.
        usual: bytes of a usual snapshot: what is saved each time.
        mean: bytes of a snapshot on average.
        whole: bytes when every level is saved, as it is every two hours.
        usual_seconds: of the processor, for the usual snapshot.
        mean_seconds: likewise, on average.
        whole_seconds: likewise, for all of it.
        tick_seconds: of the processor, for what the clock alone costs a second.
        batch_seconds: likewise, for a batch of what comes in 50 ms.
        touched: series with events in such a batch.
        resume_seconds: likewise, from the snapshots to the first decision.
        page_bytes: of `/metrics`.
        page_seconds: likewise, to render it again.
        first_page_seconds: likewise, when its series are new.
    """

    series: int
    memory: float
    usual: float
    mean: float
    whole: float
    usual_seconds: float
    mean_seconds: float
    whole_seconds: float
    tick_seconds: float
    batch_seconds: float
    touched: float
    resume_seconds: float
    page_bytes: float
    page_seconds: float
    first_page_seconds: float


def measure(series: int) -> Cost:
    """One shard of so many series in all."""
    plan, rows = plan_of(), max(1, series // SHARDS)
    before = _resident()
    shard = Steps(plan, rows, CLOCK)
    gc.collect()
    memory = (_resident() - before) / rows
    clock = CLOCK
    shard.take(shard.events(clock, 1.0))
    # A minute of ticks: two of the 30 s buckets close, and twelve of those of 5 s.
    with Stopwatch() as ticking:
        for _ in range(60):
            clock += 1
            shard.take(shard.deposit(clock, shard.rates.nonzero()[0][:0]))
    batches, touched = [], []
    for _ in range(20):
        clock += PACE
        deposit = shard.events(clock, PACE)
        with Stopwatch() as counting:
            (decision,) = shard.take(deposit)
        batches.append(counting.spent.cpu)
        touched.append(len(deposit.keys))
    for _ in shard.snapshots():
        pass  # the first pickles the series' names, too, which are kept
    saved = {name: (data, spent.cpu) for name, data, spent in shard.snapshots()}
    with Stopwatch() as resuming:
        again = Steps(plan, 1, clock, [data for data, _ in saved.values()])
        again.take(shard.deposit(clock + 1, shard.rates.nonzero()[0][:0]))
    del again
    page = _rendered(plan, decision, rows)
    return Cost(
        series=rows * SHARDS,
        memory=memory,
        usual=SHARDS * sum(len(saved[n][0]) for n, every in EVERY.items() if every == 1),
        mean=SHARDS * sum(len(saved[n][0]) / every for n, every in EVERY.items()),
        whole=SHARDS * sum(len(data) for data, _ in saved.values()),
        usual_seconds=SHARDS * sum(saved[n][1] for n, every in EVERY.items() if every == 1),
        mean_seconds=SHARDS * sum(saved[n][1] / every for n, every in EVERY.items()),
        whole_seconds=SHARDS * sum(seconds for _, seconds in saved.values()),
        tick_seconds=SHARDS * ticking.spent.cpu / 60,
        batch_seconds=SHARDS * statistics.median(batches),
        touched=SHARDS * statistics.median(touched),
        resume_seconds=SHARDS * resuming.spent.cpu,
        page_bytes=SHARDS * page[0],
        page_seconds=SHARDS * page[1],
        first_page_seconds=SHARDS * page[2],
    )


def main(sizes: Sequence[int] = SIZES) -> list[Cost]:
    """Print a line for each size."""
    found = []
    for size in sizes:
        cost = measure(size)
        found.append(cost)
        print(
            f"{cost.series:9,} series: {cost.memory:6,.0f} bytes each;"
            f" snapshot usual {cost.usual / 1e6:8.1f} MB {cost.usual_seconds:6.2f} s,"
            f" mean {cost.mean / 1e6:8.1f} MB {cost.mean_seconds:6.2f} s,"
            f" whole {cost.whole / 1e6:9.1f} MB {cost.whole_seconds:6.2f} s;"
            f" tick {cost.tick_seconds * 1e3:7.1f} ms, batch ({cost.touched:,.0f} series)"
            f" {cost.batch_seconds * 1e3:7.1f} ms; resumes in {cost.resume_seconds:6.2f} s;"
            f" /metrics {cost.page_bytes / 1e6:8.1f} MB {cost.page_seconds:6.2f} s"
            f" (first {cost.first_page_seconds:6.2f} s)",
            flush=True,
        )
    return found


def _rendered(plan: Plan, decision: Decision, rows: int) -> tuple[float, float, float]:
    """Bytes of a page, and seconds to render it again and at first; of many series, of as many as fit."""
    shown = min(rows, MOST_RENDERED)
    part = replace(
        decision,
        series=decision.series[:shown],
        bad=decision.bad[:shown],
        total=decision.total[:shown],
        period=decision.period[:shown],
        lifetime=decision.lifetime[:shown],
        frozen=decision.frozen[:shown],
        alerts=(),
    )
    snapshot, exposition = Snapshot((part,), settled=True, objectives=plan.by_id), Exposition()
    with Stopwatch() as first:
        exposition.render(snapshot, ())
    with Stopwatch() as again:
        page = exposition.render(snapshot, ())
    scale = rows / shown
    return len(page) * scale, again.spent.cpu * scale, first.spent.cpu * scale


def _resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
