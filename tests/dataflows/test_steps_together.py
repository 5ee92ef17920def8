"""What waits for other parts of the input is in the steps' snapshots."""

import pytest

from dataflows.steps import IntakeStep, ReadingsStep, UsageStep
from engine.telemetry.watch import Watch
from slo.anomalies.messages import Sampled
from slo.messages import Deposit
from slo.origins import Origin
from slo.plan import Plan
from slo.usage.messages import Used
from tests.engine.sinks.boards import NOW, objective

PLAN = Plan((objective(),), shards=2, usage="full")
STEPS = [(IntakeStep, Deposit), (ReadingsStep, Sampled), (UsageStep, Used)]


@pytest.mark.parametrize(("step", "message"), STEPS)
def test_what_waits_is_saved_and_goes_on(step: type, message: type) -> None:
    before = step(PLAN, Watch(), None)
    before.on_batch([message("0", NOW, origin=Origin("a", 2))])
    assert [waits.clock for waits in before.together.held()] == [NOW]
    after = step(PLAN, Watch(), before.snapshot())
    assert [waits.clock for waits in after.together.held()] == [NOW]
    after.on_batch([message("0", NOW + 1, origin=Origin(name, 2)) for name in "ab"])
    assert after.together.held() == []


@pytest.mark.parametrize(("step", "message"), STEPS)
def test_nothing_is_saved_where_nothing_waits(step: type, message: type) -> None:
    one = step(PLAN, Watch(), None)
    one.on_batch([message("0", NOW)])
    saved = one.snapshot()
    assert b"held" not in saved
    # So it is in snapshots of earlier versions.
    assert step(PLAN, Watch(), saved).together.held() == []


def test_a_backlog_of_two_parts_is_decided_on_second_by_second() -> None:
    intake = IntakeStep(PLAN, Watch(), None)
    batch = [Deposit("0", NOW + second, live=False, origin=Origin("a", 2)) for second in range(4)]
    assert list(intake.on_batch(batch)[0]) == []
    slow = [Deposit("0", NOW + second, live=False, origin=Origin("b", 2)) for second in range(3)]
    updates = list(intake.on_batch(slow)[0])
    assert [(update.clock, update.live) for update in updates] == [
        (NOW, False),
        (NOW + 1, False),
        (NOW + 2, False),
    ]
    (last,) = intake.on_batch([Deposit("0", NOW + 3.5, origin=Origin(name, 2)) for name in "ab"])[0]
    assert (last.clock, last.live) == (NOW + 3.5, True)
