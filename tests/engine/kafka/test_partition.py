"""One partition, and several of a process: clocks, what is live, ticks, and all that can be wrong."""

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

from engine.kafka import partition as module
from engine.kafka import payloads
from engine.kafka.places import Place
from engine.kafka.position import ABSENT, Position
from engine.spool.arrivals import Arrivals
from slo.origins import Origin
from tests.engine.kafka.fakes import START, TOPIC, World, names, request

FIRST = Place(TOPIC, 0)


def _counter(world: World, name: str, **labels: str) -> float:
    return world.metrics.registry.get_sample_value(f"{name}_total", labels) or 0.0


def _all(world: World, times: int = 3) -> list[Arrivals]:
    return [arrivals for _ in range(times) for arrivals in world.read()]


# What is live


def test_what_was_there_at_the_start_is_a_replay_and_its_end_is_told_to_all() -> None:
    world = World()
    world.kafka.write(request("old"))
    world.start()
    old, passing, tick = world.read()
    assert names([old]) == ["old"]
    assert not old.live
    assert (passing.traces, passing.live, passing.tick) == ((), True, True)
    assert passing.origin == Origin("spans/0", 1)
    assert (tick.tick, tick.live, tick.clock) == (True, True, START)
    world.kafka.write(request("new"))
    (new,) = world.read()
    assert new.live
    assert names([new]) == ["new"]


def test_an_empty_partition_is_live_at_once() -> None:
    world = World()
    passing, _tick = world.read()
    assert passing.live
    assert passing.tick
    assert passing.clock == START


def test_a_flow_rebuilt_in_the_process_is_live_beyond_what_was_decided() -> None:
    world = World()
    world.read()
    world.kafka.write(request("decided"))
    world.read()
    positions = world.snapshot()
    world.kafka.write(request("while no flow ran"))
    world.decided = {FIRST: positions[0].offset}
    world.start(positions)
    found = world.read()
    assert [each.live for each in found if names([each])] == [True]


def test_a_crash_after_decisions_replays_up_to_them_and_is_live_beyond() -> None:
    world = World()
    world.read()
    positions = world.snapshot()
    world.kafka.write(request("a"))
    world.kafka.write(request("b"))
    world.decided = {FIRST: 1}
    world.start(positions)
    found = [each for each in world.read() if each.traces]
    assert [(names([each]), each.live) for each in found] == [(["a"], False), (["b"], True)]


def test_a_part_that_is_live_waits_for_the_others_with_its_ticks() -> None:
    world = World(2)
    world.kafka.leaderless.add(Place(TOPIC, 1))
    world.start()
    assert [each.origin.part for each in world.read()] == ["spans/0"]
    world.kafka.pass_time(5)
    assert world.read() == []  # no tick: not every part is live
    world.kafka.leaderless.clear()
    found = world.read()
    assert [each.origin.part for each in found] == ["spans/1", "spans/1"]
    assert found[-1].tick


def test_a_part_that_cannot_be_read_holds_nobody_up_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(2)
    world.kafka.leaderless.add(Place(TOPIC, 1))
    world.start()
    world.read()
    assert not world.crew.live()
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.0)
    found = world.read()
    assert world.parts[1].stuck
    assert [(each.origin.part, each.live, each.tick) for each in found] == [
        ("spans/1", True, True),
        ("spans/1", True, True),
    ]
    monkeypatch.undo()
    world.kafka.write(request("later"), 1)
    world.kafka.leaderless.clear()
    found = world.read()
    assert names(found) == ["later"]
    assert all(
        each.live for each in found
    )  # it was waited for no longer, and is not waited for again
    assert not world.parts[1].stuck


# Ticks


def test_one_partition_ticks_for_all_once_a_second() -> None:
    world = World(3)
    found = world.read()
    assert sum(each.tick for each in found) == 3 + 1  # each part's passing, and the first tick
    assert world.read() == []
    for second in range(1, 4):
        world.kafka.pass_time(1)
        (tick,) = world.read()
        assert (tick.tick, tick.clock) == (True, START + second)
        assert tick.origin.parts == 3


def test_ticks_are_not_ahead_of_a_partition_that_is_behind() -> None:
    world = World(2)
    world.read()
    for second in range(10):
        world.kafka.write(request(f"{second}"), 0)
        world.kafka.pass_time(1)
    world.pieces = world.reader.pieces = iter([1] * 100)
    clocks = [each.clock for _ in range(3) for each in world.read() if each.tick]
    assert clocks == [START + 1, START + 2]  # as far as the slower one has come


def test_ticks_missed_in_a_replay_come_in_it_and_a_long_pause_has_none() -> None:
    world = World()
    for seconds in (0, 5, 100):
        world.kafka.now = START + seconds
        world.kafka.write(request(f"{seconds}"))
    world.start()
    found = [each for each in world.read() if not each.live]
    assert [each.clock - START for each in found] == [0, 1, 2, 3, 5, 100]
    assert [bool(each.traces) for each in found] == [True, False, False, False, True, True]
    assert all(each.tick for each in found)


def test_without_any_partition_the_clock_ticks_all_the_same() -> None:
    world = World(0, slots=4)
    world.kafka.counts[TOPIC] = 0
    (tick,) = world.read()
    assert (tick.tick, tick.live, tick.origin.parts) == (True, True, 0)
    world.kafka.pass_time(1)
    assert len(world.read()) == 1


# Clocks


@pytest.mark.parametrize(
    ("kind", "milliseconds", "clock"),
    [
        (1, int((START - 3) * 1e3), START - 3),
        (TIMESTAMP_LOG_APPEND_TIME, int((START - 3) * 1e3), START - 3),
        (1, int((START + 9e9) * 1e3), START),  # far ahead: now
        (1, -1, START),
        (1, 0, START),
        (TIMESTAMP_NOT_AVAILABLE, 0, START),
    ],
)
def test_a_message_arrived_when_kafka_says(kind: int, milliseconds: int, clock: float) -> None:
    world = World()
    world.read()
    world.kafka.write(request("a"), kind=kind, milliseconds=milliseconds)
    (found,) = world.read()
    assert found.clock == clock
    assert found.watermarks == (clock, 0.0)


def test_clocks_of_a_partition_never_go_back_and_seconds_stay_apart() -> None:
    world = World()
    world.read()
    for back in (3.0, 1.2, 1.1, 2.5, 0.0):
        world.kafka.write(request(f"{back}"), milliseconds=int((START - back) * 1e3))
    found = [(round(START - each.clock, 1), names([each])) for each in world.read()]
    assert found == [(3.0, ["3.0"]), (1.1, ["1.2", "1.1", "2.5"]), (0.0, ["0.0"])]


def test_the_clock_does_not_go_back_over_a_restart() -> None:
    world = World()
    world.kafka.pass_time(3600)
    world.kafka.write(request("a"))
    world.start()
    _all(world)
    positions = world.snapshot()
    world.kafka.now -= 3600  # the machine's clock is set back meanwhile
    world.start(positions)
    _all(world)
    world.kafka.write(request("b"))
    (found,) = world.read()
    assert found.clock == START + 3600
    assert round(found.ahead_ns / 1e9) == 3600  # events are placed by as much later


# Recall


def test_calls_of_before_a_restart_are_remembered_again_and_not_counted() -> None:
    world = World()
    for second in range(0, 100, 10):
        world.kafka.now = START + second
        world.kafka.write(request(f"{second}"))
    world.start()
    _all(world)
    positions = world.snapshot()
    world.kafka.write(request("new"))
    world.start(positions)
    found = _all(world)
    recalled = [name for each in found if each.recalled for name in names([_counted(each)])]
    assert recalled == ["60", "70", "80", "90"]  # whole generations of 15 s: since 60 s
    assert not any(each.live for each in found if each.recalled)
    assert names(found) == ["new"]


def _counted(arrivals: Arrivals) -> Arrivals:
    return Arrivals(arrivals.clock, arrivals.traces)


# What messages hold


def test_no_value_nothing_in_it_and_junk_stop_nobody() -> None:
    world = World()
    world.read()
    for body in (None, b"", b"\xff junk", request("good")):
        world.kafka.write(body)
    found = world.read()
    assert names(found) == ["good"]
    assert [(place, offset) for place, offset, _ in world.letters.sent] == [(FIRST, 2)]
    assert _counter(world, "burnline_undecodable_payloads", signal="traces") == 1
    assert _counter(world, "burnline_received_payloads", signal="traces", protocol="kafka") == 2
    assert world.snapshot()[0] == Position(4, START, (START, 0.0), "one", (2,))
    world.letters.deliver()
    assert world.snapshot()[0].undelivered == ()


def test_what_is_too_large_to_be_parsed_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MOST_BYTES", 200)
    world = World()
    world.read()
    world.kafka.write(request("x" * 300))
    world.kafka.write(request("y"))
    assert names(world.read()) == ["y"]
    assert len(world.letters.sent) == 1


def test_json_is_read_as_protobuf_is() -> None:
    world = World(encoding="otlp_json")
    world.read()
    span = b'{"name": "a", "endTimeUnixNano": "1800000000000000000"}'
    world.kafka.write(b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + span + b"]}]}]}")
    world.kafka.write(b"")  # no JSON at all
    world.kafka.write(request("protobuf"))
    assert names(world.read()) == ["a"]
    assert len(world.letters.sent) == 2


def test_what_is_set_aside_is_sent_again_from_where_it_came_after_a_crash() -> None:
    world = World()
    world.kafka.write(b"\xff junk")
    world.start()
    _all(world)
    positions = world.snapshot()
    assert positions[0].undelivered == (0,)
    world.start(positions)
    _all(world)
    assert [(place, offset) for place, offset, _ in world.letters.sent] == [(FIRST, 0)]


def test_dead_letters_of_a_topic_that_is_no_more_are_not_looked_for_in_another() -> None:
    world = World()
    world.kafka.write(b"\xff junk")
    world.start()
    _all(world)
    positions = world.snapshot()
    world.kafka.make_anew()
    world.kafka.write(request("good"))
    world.start(positions)
    assert names(_all(world)) == ["good"]
    assert world.letters.sent == []
    assert world.snapshot()[0].undelivered == ()


# Where reading begins


def test_latest_begins_at_the_end_and_only_the_first_time() -> None:
    world = World(first="latest")
    world.kafka.write(request("before"))
    world.start()
    assert names(_all(world)) == []
    positions = world.snapshot()
    world.kafka.write(request("while away"))
    world.start(positions)
    assert names(_all(world)) == ["while away"]


def test_a_partition_that_is_added_is_read_from_its_beginning_and_live() -> None:
    world = World(1, slots=4, first="latest")
    world.kafka.write(request("before"))
    world.start()
    _all(world)
    assert world.snapshot()[1].offset == ABSENT
    world.kafka.counts[TOPIC] = 2
    world.kafka.write(request("first of the new one"), 1)
    found = world.read()
    assert names(found) == ["first of the new one"]
    assert all(each.live for each in found)
    assert {each.origin for each in found} == {Origin("spans/1", 2)}


def test_a_partition_that_was_added_while_nobody_ran_is_read_from_its_beginning() -> None:
    world = World(1, slots=4, first="latest")
    _all(world)
    positions = world.snapshot()
    world.kafka.counts[TOPIC] = 2
    world.kafka.write(request("first of the new one"), 1)
    world.start(positions)
    assert names(_all(world)) == ["first of the new one"]


def test_what_retention_deleted_is_counted_as_lost_and_reading_goes_on() -> None:
    world = World()
    _all(world)
    positions = world.snapshot()
    for number in range(10):
        world.kafka.write(request(f"{number}"))
    world.kafka.forget(7)
    world.start(positions)
    assert names(_all(world)) == ["7", "8", "9"]
    assert world.lost == {TOPIC: 7}


def test_retention_may_overtake_a_reader_that_is_slow() -> None:
    world = World()
    world.read()
    for number in range(10):
        world.kafka.write(request(f"{number}"))
    world.reader.pieces = iter([2, 100, 100])
    found = names(world.read())
    world.kafka.forget(7)
    found += names(_all(world))
    assert found == ["0", "1", "7", "8", "9"]
    assert world.lost == {TOPIC: 5}


@pytest.mark.parametrize("running", [True, False])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(*, running: bool) -> None:
    world = World()
    world.kafka.write(request("old"))
    world.start()
    _all(world)
    positions = world.snapshot()
    world.kafka.make_anew()
    for number in range(3):  # more than there were: only the id tells
        world.kafka.write(request(f"new {number}"))
    if not running:
        world.start(positions)
    found = _all(world)
    assert names(found) == ["new 0", "new 1", "new 2"]
    assert all(each.live for each in found if each.traces) == running
    assert world.snapshot()[0].offset == 3


def test_without_ids_a_smaller_end_tells_a_topic_that_was_made_anew() -> None:
    world = World()
    world.kafka.ids[TOPIC] = ""
    for number in range(5):
        world.kafka.write(request(f"old {number}"))
    world.start()
    _all(world)
    positions = world.snapshot()
    world.kafka.logs.clear()
    world.kafka.write(request("new"))
    world.start(positions)
    assert names(_all(world)) == ["new"]


def test_brokers_that_lost_the_newest_messages_are_read_on_from_their_end() -> None:
    world = World()
    for number in range(5):
        world.kafka.write(request(f"{number}"))
    world.start()
    _all(world)
    positions = world.snapshot()
    log = world.kafka.log(FIRST)
    log.end = 3
    log.messages = {n: m for n, m in log.messages.items() if n < 3}
    world.start(positions)
    _all(world)
    world.kafka.write(request("after"))
    assert names(_all(world)) == ["after"]


def test_marks_of_transactions_at_the_end_keep_nobody_from_being_live() -> None:
    world = World()
    world.kafka.write(request("a"))
    world.kafka.mark()
    world.start()
    found = _all(world)
    assert found[-1].live
    assert world.parts[0].position.offset == 2
    assert world.parts[0].caught_up


# The end


def test_reads_are_in_step_and_a_slot_without_partition_hardly_ever_looks() -> None:
    world = World(1, slots=2)
    _all(world)
    awake = [part.next_awake() for part in world.parts]
    assert awake[0] is not None
    assert awake[1] is not None
    assert round(awake[0].timestamp() % 0.05, 3) in {0.0, 0.05}
    assert awake[1].microsecond < 1000 or awake[1].microsecond > 999_000


def test_vitals_see_all_partitions_as_one() -> None:
    world = World(2)
    world.kafka.write(request("a"), 0)
    world.kafka.pass_time(30)
    world.start()
    crew = world.crew
    assert not crew.begun()
    world.pieces = world.reader.pieces = iter([0] * 4)
    world.read()
    assert crew.begun()
    assert crew.replaying()
    assert (crew.replay_until, crew.resumed_after) == (1, 0)
    world.reader.pieces = None
    _all(world)
    assert not crew.replaying()
    assert crew.unread_seconds() == 0.0
    assert crew.position.watermarks == (START, 0.0)
    assert crew.read_all_for(0.0)
    assert not crew.read_all_for(60.0)


def test_offsets_are_told_to_the_reader_with_each_snapshot() -> None:
    world = World()
    world.kafka.write(request("a"))
    _all(world)
    world.snapshot()
    assert world.reader.committed == {FIRST: 1}
