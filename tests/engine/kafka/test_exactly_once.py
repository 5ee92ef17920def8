"""Whatever is written, read, saved and killed in whatever order: each message is counted once."""

from collections import Counter
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kafka.places import Place
from engine.kafka.position import Position
from tests.engine.kafka.fakes import TOPIC, World, names, request

PARTITIONS = 2
# What breaks is a few of these in a row, so the plain ones come more often.
ACTS = (
    *("write", "read") * 4,
    *("junk", "save", "kill", "read all") * 2,
    *("nothing", "mark", "deliver", "grow", "wait"),
)
acts = st.tuples(st.sampled_from(ACTS), st.sampled_from((0, 0, 0, 1)))


class Run:
    """Processes over a cluster, and what their state holds."""

    def __init__(self, pieces: list[int]) -> None:
        self.world = World(1, slots=PARTITIONS, pieces=iter(cycle([*pieces, 5])))
        self.counted: list[str] = []
        self.saved: tuple[list[Position] | None, int] = (None, 0)
        self.written: list[str] = []
        self.junk: set[tuple[Place, int]] = set()

    def do(self, act: str, number: int) -> None:
        place, kafka = Place(TOPIC, number), self.world.kafka
        if act == "read":
            self.counted += names(self.world.parts[number].next_batch())
        elif act == "mark" and kafka.exists(place):
            kafka.mark(number)
        elif act in {"write", "junk", "nothing"} and kafka.exists(place):
            self.write(act, place)
        else:
            self.do_to_all(act)

    def write(self, act: str, place: Place) -> None:
        body = None
        if act == "junk":
            self.junk.add((place, self.world.kafka.log(place).end))
            body = b"\xff junk"
        elif act == "write":
            self.written.append(f"{place.number}:{len(self.written)}")
            body = request(self.written[-1])
        self.world.kafka.write(body, place.number)

    def do_to_all(self, act: str) -> None:
        kafka = self.world.kafka
        if act == "read all":
            self.counted += names(self.world.read())
        elif act == "save":
            self.saved = (self.world.snapshot(), len(self.counted))
        elif act == "kill":
            positions, kept = self.saved
            self.counted = self.counted[:kept]  # the state that was saved, and no more
            self.world.start(positions)
        elif act == "deliver":
            self.world.letters.deliver()
        elif act == "grow":
            kafka.counts[TOPIC] = min(PARTITIONS, kafka.counts[TOPIC] + 1)
        elif act == "wait":
            kafka.pass_time(7)

    def read_to_the_end(self) -> None:
        self.world.reader.pieces = None
        self.world.kafka.counts[TOPIC] = PARTITIONS
        for _ in range(4):
            self.do("read all", 0)
        self.world.letters.deliver()


@given(
    script=st.lists(acts, min_size=10, max_size=50), pieces=st.lists(st.integers(0, 2), min_size=1)
)
@settings(deadline=None, max_examples=80)
def test_each_message_is_counted_once(script: list[tuple[str, int]], pieces: list[int]) -> None:
    run = Run(pieces)
    for act, number in script:
        run.do(act, number)
    run.read_to_the_end()
    assert Counter(run.counted) == Counter(run.written)
    for number in range(PARTITIONS):  # and in order
        mine = f"{number}:"
        assert [n for n in run.counted if n.startswith(mine)] == [
            n for n in run.written if n.startswith(mine)
        ]
    assert run.world.letters.arrived == run.junk
    assert all(not position.undelivered for position in run.world.snapshot())
