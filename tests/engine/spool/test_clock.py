"""The engine's clock under wall clocks that are set, doubted, and believed."""

from hypothesis import given
from hypothesis import strategies as st

from engine.spool.clock import BACK_NS, FOLLOWED_NS, FORWARD_NS, SECOND_NS
from tests.engine.spool.clocks import HOUR, START, World


def test_a_right_clock_is_told_as_it_is() -> None:
    world = World()
    clock = world.clock()
    world.run(clock, 10 * SECOND_NS)
    assert clock.read() == (START + 10 * SECOND_NS, 0, 0)
    world.off = 2 * SECOND_NS
    assert clock.read() == (START + 12 * SECOND_NS, 0, 0)
    assert world.steps == []


def test_an_hour_of_sleep_is_an_hour() -> None:
    world = World()
    clock = world.clock()
    world.passed += HOUR
    assert clock.read() == (START + HOUR, 0, 0)
    assert world.steps == []


def test_far_ahead_for_a_moment_moves_nothing() -> None:
    world = World()
    clock = world.clock()
    world.off = 24 * HOUR
    world.run(clock, 60 * SECOND_NS)
    assert clock.read() == (START + 60 * SECOND_NS, 0, 24 * HOUR)
    world.off = 0
    assert clock.read() == (START + 60 * SECOND_NS, 0, 0)
    assert world.steps == [24 * 3600]


def test_a_step_forward_that_stays_is_believed() -> None:
    world = World()
    clock = world.clock()
    world.off = HOUR
    world.run(clock, FORWARD_NS)
    assert clock.read().now_ns < START + HOUR
    world.run(clock, 2 * SECOND_NS)
    assert clock.read() == (START + HOUR + world.passed, 0, 0)


def test_a_step_back_that_stays_leaves_the_engine_ahead_until_half_pace_has_caught_up() -> None:
    world = World()
    clock = world.clock()
    world.off = -HOUR
    world.run(clock, BACK_NS)
    assert clock.read() == (START + BACK_NS, 0, 0), "still doubted"
    world.run(clock, 2 * SECOND_NS)
    moment = clock.read()
    assert moment.ahead_ns > HOUR - 2 * SECOND_NS
    # An event that ends now by the senders' clock is placed at the engine's now.
    assert START + world.passed + world.off + moment.ahead_ns == moment.now_ns
    world.run(clock, HOUR)
    assert abs(clock.read().ahead_ns - HOUR // 2) < 2 * SECOND_NS
    world.run(clock, HOUR)
    assert clock.read() == (START + world.passed - HOUR, 0, 0)


def test_back_and_forth_costs_nothing() -> None:
    world = World()
    clock = world.clock()
    world.off = -HOUR
    world.run(clock, 5 * 60 * SECOND_NS)
    world.off = 0
    world.run(clock, 2 * FORWARD_NS)
    assert clock.read() == (START + world.passed, 0, 0)
    assert len(world.steps) == 2


def test_after_a_restart_no_earlier_moment_is_told() -> None:
    world = World()
    clock = world.clock(not_before_ns=START + HOUR)
    assert clock.read() == (START + HOUR, HOUR, 0)
    world.run(clock, 2 * HOUR + 4 * SECOND_NS)
    assert clock.read() == (START + world.passed, 0, 0)


@given(
    moves=st.lists(
        st.tuples(
            st.integers(0, 2 * FORWARD_NS),
            st.sampled_from([0, 0, SECOND_NS, -SECOND_NS, HOUR, -HOUR, -START, 2**63]),
        ),
        max_size=30,
    )
)
def test_time_never_goes_back_and_is_right_once_the_clock_is(moves: list[tuple[int, int]]) -> None:
    world = World()
    clock = world.clock()
    last = clock.read()
    for passed, off in moves:
        world.off = off
        world.passed += passed
        moment = clock.read()
        assert moment.now_ns >= last.now_ns
        assert moment.ahead_ns >= 0
        assert moment.doubt_ns >= 0
        last = moment
    world.off = 0
    # Long enough to doubt, to believe, and to catch up at half pace.
    for _ in range(3):
        world.passed += FORWARD_NS
        last = clock.read()
    for _ in range(2):
        world.passed += 2 * last.ahead_ns + 2 * FOLLOWED_NS
        last = clock.read()
    assert last.ahead_ns == 0
    assert last.doubt_ns == 0
    assert abs(last.now_ns - (START + world.passed)) <= FOLLOWED_NS
