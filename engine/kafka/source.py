"""The flow's source where telemetry comes from Kafka: one part for each partition.

A part's state is the offset, so that what was read and what was counted of it are saved together: after a
crash each message is counted once. Bytewax fixes the parts of a flow when it starts; there are slots for
partitions that come later.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bytewax.inputs import FixedPartitionedSource

from engine.kafka.crew import Crew
from engine.kafka.partition import KafkaPartition
from engine.kafka.places import Place, place_of, slots_for
from engine.kafka.position import Position
from engine.kafka.reader import Reader
from engine.kafka.shared import Shared
from engine.spool.arrivals import Arrivals


@dataclass  # without slots, which all threads would share
class _Worker(threading.local):
    reader: Reader | None = None
    places: set[Place] = field(default_factory=set)


class KafkaSource(FixedPartitionedSource[Arrivals, Position]):
    """Reads the partitions of some topics.

    Args:
        shared: what the partitions of this flow share.
        make_reader: makes a worker's consumer.
        slots: directory that remembers how many slots each topic was given.
    """

    def __init__(self, shared: Shared, make_reader: Callable[[], Reader], slots: Path) -> None:
        self.shared = shared
        self._make_reader = make_reader
        self._slots = slots
        self._worker = _Worker()

    @property
    def partition(self) -> Crew | None:
        """All of this process together, once it is known of each what there is to read."""
        return self.shared.crew if self.shared.crew.begun() else None

    def list_parts(self) -> list[str]:
        """Every slot; those of an earlier start too, as the recovery store knows them."""
        for topic, partitions in self.shared.topics.counts.items():
            (self._slots / f"{topic}.{slots_for(partitions)}").touch()
        most: dict[str, int] = {}
        for path in self._slots.iterdir():
            topic, _, slots = path.name.rpartition(".")
            most[topic] = max(int(slots), most.get(topic, 0))
        self.shared.topics.slots = most
        return [
            str(Place(topic, number)) for topic, slots in most.items() for number in range(slots)
        ]

    def build_part(
        self, _step_id: str, for_part: str, resume_state: Position | None
    ) -> KafkaPartition:
        """Read on where it was left; by the consumer of this worker."""
        worker, place = self._worker, place_of(for_part)
        if worker.reader is None:
            worker.reader = self._make_reader()
        worker.places.add(place)
        return KafkaPartition(place, self.shared, worker.reader, resume_state, self._leave)

    def _leave(self, place: Place) -> None:
        """A worker's part is closed, and with its last its consumer."""
        worker = self._worker
        worker.places.discard(place)
        if worker.reader is None:
            return
        if worker.places:
            worker.reader.drop(place)
        else:
            worker.reader.close()
            worker.reader = None
