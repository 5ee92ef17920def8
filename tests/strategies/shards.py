"""A shard driven without Bytewax, and event histories for it."""

import pickle
from collections import deque
from collections.abc import Iterable, Iterator

from hypothesis import strategies as st

from slo.decider import Decider
from slo.decision import Decision
from slo.messages import Deposit
from slo.plan import Plan
from slo.shard import Coarse, Intake
from slo.windows import GRANULARITIES


class Shard:
    """Intake, coarse levels and decider of one shard, chained by plain calls."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.intake = Intake(
            plan.by_id,
            plan.level(0),
            plan.horizon,
            plan.series_limit,
            plan.shard_limit,
            plan.stale_after,
            plan.watched_since,
            plan.shards,
            plan.admitted,
        )
        self.coarse = [Coarse(n, plan.level(n)) for n in range(1, len(GRANULARITIES))]
        self.decider = Decider(plan.by_id, plan.windows, plan.stale_after, told=plan.told())

    def take(self, deposit: Deposit) -> Iterator[Decision]:
        """Everything that the deposit leads to."""
        for update in self.intake.take(deposit):
            waiting = deque([update])
            for coarse in self.coarse:
                if waiting[-1].onward is None:
                    break
                waiting.append(coarse.take(waiting[-1]))
            # The coarse levels' updates may overtake the intake's.
            for consequence in reversed(waiting):
                yield from self.decider.take(consequence)

    def restarted(self, plan: Plan | None = None) -> "Shard":
        """What a recovery makes of it, perhaps with other objectives."""
        plan = plan or self.plan
        states = [self.intake.state(), self.decider.state()]
        states += [coarse.level.trimmed() for coarse in self.coarse]
        intake, decider, *levels = pickle.loads(pickle.dumps(states))  # noqa: S301  just made
        fresh = Shard(plan)
        fresh.intake.restore(intake)
        fresh.decider = Decider(plan.by_id, plan.windows, plan.stale_after, decider, plan.told())
        for coarse, kept in zip(fresh.coarse, levels, strict=True):
            coarse.level = kept.fitted(coarse.level.windows, coarse.level.parent)
        return fresh

    def run(self, deposits: Iterable[Deposit]) -> list[Decision]:
        """All decisions."""
        return [decision for deposit in deposits for decision in self.take(deposit)]


# Steps between deposits, from within a bucket to past every window of a day.
steps = st.one_of(
    st.integers(0, 12),
    st.integers(0, 700),
    st.sampled_from([5, 30, 60, 120, 900, 3600, 7200, 21600]),
    st.integers(0, 100_000),
)
# How old an event is when it arrives: mostly fresh, sometimes late by up to the longest window.
ages = st.one_of(
    st.integers(0, 10), st.integers(0, 4000), st.integers(0, 90_000), st.integers(0, 40 * 86400)
)
events = st.lists(
    st.tuples(st.integers(0, 2), ages, st.integers(0, 3), st.integers(0, 5)), max_size=6
)
histories = st.lists(st.tuples(steps, events), min_size=1, max_size=25)
