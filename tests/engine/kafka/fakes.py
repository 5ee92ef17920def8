"""A partition's surroundings without brokers: what is written is read in pieces, as a test says.

librdkafka's mock cluster can neither add partitions to a topic nor make transactions; and a search through
interleavings needs thousands of runs a minute.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.kafka.crew import Crew
from engine.kafka.errors import PARTITION_END, Trouble
from engine.kafka.partition import KafkaPartition
from engine.kafka.payloads import Tally
from engine.kafka.places import Place
from engine.kafka.position import Position
from engine.kafka.settings import Encoding, First, KafkaSettings
from engine.kafka.shared import Shared
from engine.kafka.topics import Bounds
from engine.spool.arrivals import Arrivals
from engine.spool.clock import Clock
from engine.telemetry.metrics import EngineMetrics

TOPIC = "spans"
START = 1_800_000_000.0


def request(name: str) -> bytes:
    """A request of one span."""
    found = ExportTraceServiceRequest()
    span = found.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.end_time_unix_nano = name, int(START * 1e9)
    return bytes(found.SerializeToString())


def name_of(body: bytes) -> str:
    """The name of a request's one span."""
    read = ExportTraceServiceRequest.FromString(body)
    return str(read.resource_spans[0].scope_spans[0].spans[0].name)


@dataclass(frozen=True)
class FakeMessage:
    """What a consumer hands over."""

    at: Place
    number: int
    body: bytes | None = None
    kind: int = TIMESTAMP_CREATE_TIME
    milliseconds: int = int(START * 1e3)
    problem: KafkaError | None = None

    def topic(self) -> str:
        return self.at.topic

    def partition(self) -> int:
        return self.at.number

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes | None:
        return None

    def headers(self) -> None:
        return None

    def error(self) -> KafkaError | None:
        return self.problem

    def timestamp(self) -> tuple[int, int]:
        return self.kind, self.milliseconds

    def __len__(self) -> int:
        return len(self.body or b"")


@dataclass
class Log:
    """What a partition holds: messages by offset, with gaps where transactions left marks."""

    messages: dict[int, FakeMessage] = field(default_factory=dict)
    end: int = 0
    low: int = 0


class FakeCluster:
    """Topics, and the clock of everything."""

    def __init__(self, partitions: int = 1) -> None:
        self.counts = {TOPIC: partitions}
        self.ids = {TOPIC: "one"}
        self.logs: dict[Place, Log] = {}
        self.leaderless: set[Place] = set()
        self.now = START
        self.steady = 0.0

    # What `Topics` tells.

    def exists(self, place: Place) -> bool:
        return place.number < self.counts[place.topic]

    def parts(self) -> int:
        return sum(self.counts.values())

    def bounds(self, place: Place, since_ms: int | None = None) -> Bounds | None:
        if place in self.leaderless:
            return None
        log = self.log(place)
        since = [m.number for m in log.messages.values() if since_ms and m.milliseconds >= since_ms]
        return Bounds(log.low, log.end, min(since, default=None))

    # What tests do.

    def log(self, place: Place) -> Log:
        return self.logs.setdefault(place, Log())

    def write(self, body: bytes | None, number: int = 0, **more: Any) -> None:
        place = Place(TOPIC, number)
        log = self.log(place)
        milliseconds = more.pop("milliseconds", int(self.now * 1e3))
        log.messages[log.end] = FakeMessage(place, log.end, body, milliseconds=milliseconds, **more)
        log.end += 1

    def mark(self, number: int = 0) -> None:
        """A transaction ends: an offset that is no message."""
        self.log(Place(TOPIC, number)).end += 1

    def forget(self, before: int, number: int = 0) -> None:
        log = self.log(Place(TOPIC, number))
        log.low = before
        log.messages = {n: m for n, m in log.messages.items() if n >= before}

    def make_anew(self) -> None:
        self.ids[TOPIC] += "+"
        self.logs.clear()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds


class FakeReader:
    """A worker's consumer.

    Args:
        cluster: what it reads.
        pieces: how many messages the next takes give.
    """

    def __init__(self, cluster: FakeCluster, pieces: Iterator[int] | None = None) -> None:
        self.cluster = cluster
        self.pieces = pieces
        self.at: dict[Place, int] = {}
        self.committed: dict[Place, int] = {}

    def begin(self, place: Place, offset: int) -> None:
        self.at[place] = offset

    def drop(self, place: Place) -> None:
        self.at.pop(place, None)

    def take(self, place: Place) -> list[FakeMessage]:
        log, at = self.cluster.log(place), self.at[place]
        if place in self.cluster.leaderless:
            return []
        if not log.low <= at <= log.end:
            return [FakeMessage(place, at, problem=KafkaError(KafkaError.OFFSET_OUT_OF_RANGE))]
        ready = [log.messages[n] for n in range(at, log.end) if n in log.messages]
        most = next(self.pieces, 100) if self.pieces else 100
        taken = ready[:most]
        if len(taken) == len(ready):
            taken.append(FakeMessage(place, log.end, problem=KafkaError(PARTITION_END)))
            self.at[place] = log.end
        elif taken:
            self.at[place] = taken[-1].number + 1
        return taken

    def waiting(self, _place: Place) -> bool:
        return False

    def high(self, place: Place) -> int:
        return self.cluster.log(place).end

    def commit(self, place: Place, offset: int) -> None:
        self.committed[place] = offset


class FakeLetters:
    """Takes dead letters; a test says when they arrive."""

    def __init__(self) -> None:
        self.wanted = True
        self.sent: list[tuple[Place, int, set[int]]] = []
        self.arrived: set[tuple[Place, int]] = set()

    def send(self, letter: Any, undelivered: set[int]) -> None:
        self.sent.append((letter.place, letter.offset, undelivered))

    def again(self, place: Place, undelivered: set[int]) -> None:
        self.sent += [(place, offset, undelivered) for offset in undelivered]

    def settle(self) -> None:
        pass

    def deliver(self) -> None:
        for place, offset, undelivered in self.sent:
            self.arrived.add((place, offset))
            undelivered.discard(offset)
        self.sent = []


class World:
    """One process after another over a cluster that stays."""

    def __init__(
        self,
        partitions: int = 1,
        *,
        first: First = "earliest",
        encoding: Encoding = "otlp_proto",
        slots: int | None = None,
        pieces: Iterator[int] | None = None,
    ) -> None:
        self.kafka = FakeCluster(partitions)
        self.settings = KafkaSettings("", (TOPIC,), encoding=encoding, first=first)
        self.slots = slots or partitions
        self.pieces = pieces
        self.letters = FakeLetters()
        self.lost: Counter[str] = Counter()
        self.stopping = False
        self.decided: dict[Place, int] = {}
        self.metrics = EngineMetrics()
        self.parts: list[KafkaPartition] = []
        self.start()

    def start(self, positions: list[Position] | None = None) -> list[KafkaPartition]:
        """A process begins, from a snapshot or for the first time."""
        self.clock = Clock(
            wall=lambda: int(self.kafka.now * 1e9), steady=lambda: int(self.kafka.steady * 1e9)
        )
        self.crew = Crew(self.clock)
        self.letters.sent = []
        shared = Shared(
            settings=self.settings,
            topics=self.kafka,  # type: ignore[arg-type]
            crew=self.crew,
            clock=self.clock,
            tallies={TOPIC: Tally(self.metrics, "traces")},
            signals={TOPIC: "traces"},
            dead_letters=self.letters,  # type: ignore[arg-type]
            trouble=Trouble(),
            lost=lambda topic, count: self.lost.update({topic: count}),
            stopping=lambda: self.stopping,
            decided=self.decided,
        )
        self.reader = FakeReader(self.kafka, self.pieces)
        self.parts = [
            KafkaPartition(
                Place(TOPIC, n), shared, self.reader, positions[n] if positions else None
            )  # type: ignore[arg-type]
            for n in range(self.slots)
        ]
        return self.parts

    def read(self) -> list[Arrivals]:
        """Each part is asked once."""
        return [arrivals for part in self.parts for arrivals in part.next_batch()]

    def snapshot(self) -> list[Position]:
        return [part.snapshot() for part in self.parts]


def names(arrivals: list[Arrivals]) -> list[str]:
    """What is counted, by the names of the spans."""
    return [name_of(body) for each in arrivals if not each.recalled for body in each.traces]
