"""Whatever is written, read, saved and killed in whatever order: each message is counted once."""

from collections import Counter
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kafka.places import Place
from engine.kafka.position import Position
from tests.engine.kafka.fakes import TOPIC, World, names, request

PARTITIONS = 3
acts = st.one_of(
    st.tuples(st.just("write"), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("junk"), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("nothing"), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("mark"), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("read"), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.sampled_from(("read all", "save", "kill", "deliver", "grow", "wait")), st.just(0)),
)


@given(script=st.lists(acts, max_size=60), pieces=st.lists(st.integers(0, 3), min_size=1))
@settings(deadline=None, max_examples=120)
def test_each_message_is_counted_once(script: list[tuple[str, int]], pieces: list[int]) -> None:
    world = World(1, slots=PARTITIONS, pieces=iter(cycle([*pieces, 5])))
    counted: list[str] = []
    saved: tuple[list[Position] | None, int] = (None, 0)
    written: list[str] = []
    junk: set[tuple[Place, int]] = set()
    for act, number in script:
        log = world.kafka.log(Place(TOPIC, number))
        if act in {"write", "junk", "nothing", "mark"} and not world.kafka.exists(Place(TOPIC, number)):
            continue
        if act == "write":
            written.append(f"{number}:{len(written)}")
            world.kafka.write(request(written[-1]), number)
        elif act == "junk":
            junk.add((Place(TOPIC, number), log.end))
            world.kafka.write(b"\xff junk", number)
        elif act == "nothing":
            world.kafka.write(None, number)
        elif act == "mark":
            world.kafka.mark(number)
        elif act == "read":
            counted += names(world.parts[number].next_batch())
        elif act == "read all":
            counted += names(world.read())
        elif act == "save":
            saved = (world.snapshot(), len(counted))
        elif act == "kill":
            positions, kept = saved
            counted = counted[:kept]  # the state that was saved, and no more
            world.start(positions)
        elif act == "deliver":
            world.letters.deliver()
        elif act == "grow":
            world.kafka.counts[TOPIC] = min(PARTITIONS, world.kafka.counts[TOPIC] + 1)
        else:
            world.kafka.pass_time(7)
    world.pieces = world.reader.pieces = None
    world.kafka.counts[TOPIC] = PARTITIONS
    for _ in range(4):
        counted += names(world.read())
    world.letters.deliver()
    assert Counter(counted) == Counter(written)
    for number in range(PARTITIONS):  # and in order
        mine = f"{number}:"
        assert [n for n in counted if n.startswith(mine)] == [n for n in written if n.startswith(mine)]
    assert world.letters.arrived == junk
    assert all(not position.undelivered for position in world.snapshot())
