"""What model calls used, over a flow on a real spool that is killed at chosen moments."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.flow import build
from engine.columns.measure import Measurer
from engine.sinks.board import Board
from engine.sinks.exposition import Exposition
from engine.sinks.publish import Publish
from engine.spool.clock import SECOND_NS
from engine.spool.spool import Spool
from slo.plan import Plan
from slo.usage.messages import CallKey
from tests.dataflows.test_killed import OBJECTIVES, Killed, Step, Story, _Source
from tests.engine.spool.clocks import World
from tests.strategies.calls import samples, total

PLAN = Plan(OBJECTIVES[:1], shards=3, usage="full")
OLD = (0, 0, 0, 40, 90_000, 31 * 86_400)


def _payload(rng: random.Random, now_ns: int) -> bytes:
    request = ExportTraceServiceRequest()
    traced = request.resource_spans.add()
    traced.resource.attributes.add(key="service.name").value.string_value = "s"
    spans = traced.scope_spans.add().spans
    for _ in range(rng.randrange(1, 12)):
        ended = now_ns - rng.choice(OLD) * SECOND_NS
        span = spans.add(
            trace_id=rng.randbytes(16),
            start_time_unix_nano=ended - rng.randrange(20 * SECOND_NS),
            end_time_unix_nano=ended,
        )
        for name, text in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", rng.choice(("gpt-4o", "gpt-4o-mini"))),
            ("tenant.id", f"t{rng.randrange(5)}"),
        ):
            span.attributes.add(key=name).value.string_value = text
        tokens = span.attributes.add(key="gen_ai.usage.input_tokens")
        tokens.value.int_value = rng.randrange(5000)
        span.attributes.add(key="burnline.cost.usd").value.double_value = rng.random()
        if rng.random() < 0.1:
            span.status.code = 2
            span.attributes.add(key="error.type").value.string_value = "timeout"
    return request.SerializeToString()


def _script(seed: int, steps: int) -> list[Step]:
    rng = random.Random(seed)
    script, now_ns = [], World().wall()
    for _ in range(steps):
        passed = rng.choice((1, 1, 1, 5)) * SECOND_NS
        now_ns += passed
        payloads = [_payload(rng, now_ns) for _ in range(rng.randrange(3))]
        script.append((passed, tuple(payloads)))
    return [*script, (SECOND_NS, ()), (2 * SECOND_NS, ())]


@dataclass
class UsageStory(Story):
    """A script as it is played; what a board shows is read each time that it is told something.

    Attributes:
        plan: what is counted.
        boards: of each life, what `/metrics` would have shown at each moment.
    """

    plan: Plan = PLAN
    boards: list[list[dict[str, float]]] = field(default_factory=list)
    usage: dict[object, list[int]] = field(default_factory=dict)

    def _live(self, recovery: Path, workers: int) -> bool:
        spool = Spool(self.directory / "spool.db", clock=self.world.clock())
        board = Board(OBJECTIVES, clock=lambda: self.world.passed / 1e9)
        exposition = Exposition()
        shown: list[dict[str, float]] = []
        self.boards.append(shown)

        def take(totals: Any) -> None:
            board.publish_usage(totals)
            shown.append(samples(exposition.render(board.snapshot(), ()).decode()))

        plan = self.plan
        flow = build(
            plan,
            _Source(spool, self),
            Publish(lambda: board.publish),
            lambda: Measurer(plan.objectives, plan.shards, plan.skew, usage=plan.usage),
            spread=True,
            usage=Publish(lambda: take),
        )
        try:
            cluster_main(
                flow,
                [],
                0,
                epoch_interval=timedelta(milliseconds=40),
                recovery_config=RecoveryConfig(recovery),
                worker_count_per_proc=workers,
            )
        except BytewaxRuntimeError as error:
            if not isinstance(error.__cause__, Killed):
                raise
            return False
        finally:
            spool.close()
        self.usage = total(board.snapshot().usage)
        return True


def _play(script: Sequence[Step], kills: set[int], workers: int = 1, **changes: Any) -> UsageStory:
    with tempfile.TemporaryDirectory() as directory:
        story = UsageStory(list(script), kills, Path(directory), **changes)
        story.play(workers)
        return story


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("workers", "seed"), [(1, 1), (2, 3)])
def test_a_killed_flow_counts_what_one_that_was_not_counts(workers: int, seed: int) -> None:
    script = _script(seed, 30)
    kills = set(random.Random(seed).sample(range(20, 60), 3))
    spared, killed = _play(script, set(), workers), _play(script, kills, workers)
    assert len(killed.boards) >= 3
    assert killed.usage == spared.usage
    assert killed.usage.keys() > {CallKey("s", "openai", "gpt-4o", "t1")}
    _assert_never_less(killed)


def _assert_never_less(story: UsageStory) -> None:
    """Over all lives: what is shown is nothing, or no less than was shown before."""
    before: dict[str, float] = {}
    for life in story.boards:
        for now in filter(None, life):
            assert before.keys() <= now.keys()
            assert all(value <= now[name] for name, value in before.items())
            before = now
    assert before


def test_the_plan_may_change_between_two_lives() -> None:
    script = _script(7, 16)
    with tempfile.TemporaryDirectory() as directory:
        story = UsageStory(script[:8] + script[-1:], set(), Path(directory))
        story.play()
        before = sum(row[0] + row[1] for key, row in story.usage.items() if len(row) > 1)
        story.plan = replace(PLAN, usage="no-tenant", usage_limit=1)
        story.script += script[8:]
        assert story._live(story.directory / "recovery", 1)
    tenants = {key.tenant for key in story.usage if isinstance(key, CallKey)}
    after = sum(row[0] + row[1] for key, row in story.usage.items() if len(row) > 1)
    assert tenants == {""}
    assert after > before
