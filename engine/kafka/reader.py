"""One consumer for all partitions that a worker reads."""

from collections import deque

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from engine.kafka.config import Clients
from engine.kafka.places import Place
from engine.spool.spool_source import BYTES_PER_READ
from engine.telemetry.log import log

# A Collector that keys messages by trace writes one for each trace.
MESSAGES_PER_READ = 4096
# While so much waits to be taken, nothing more is.
MOST_HELD = 2 * BYTES_PER_READ


class Reader:
    """Messages by partition; used by one thread.

    Args:
        clients: makes its consumer.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        # Made with the first partition: a worker may have none.
        self._made: Consumer | None = None
        self._queues: dict[Place, deque[Message]] = {}
        self._held = 0
        self._more = False

    @property
    def _consumer(self) -> Consumer:
        if self._made is None:
            self._made = self._clients.consumer()
        return self._made

    def begin(self, place: Place, offset: int) -> None:
        """Read a partition from an offset on."""
        self.drop(place)
        self._queues[place] = deque()
        self._consumer.incremental_assign([TopicPartition(place.topic, place.number, offset)])

    def drop(self, place: Place) -> None:
        """Read a partition no more."""
        queue = self._queues.pop(place, None)
        if queue is not None:
            self._held -= sum(len(message) for message in queue)
            self._consumer.incremental_unassign([TopicPartition(place.topic, place.number)])

    def take(self, place: Place) -> list[Message]:
        """What has come of a partition: messages, ends and errors, in order."""
        self._pump()
        queue = self._queues[place]
        taken: list[Message] = []
        size = 0
        while queue and len(taken) < MESSAGES_PER_READ and size < BYTES_PER_READ:
            taken.append(queue.popleft())
            size += len(taken[-1])
        self._held -= size
        return taken

    def waiting(self, place: Place) -> bool:
        """Whether more of a partition is here already, or may be."""
        return self._more or bool(self._queues.get(place))

    def high(self, place: Place) -> int:
        """Offset after the newest message that the broker has, as last heard; -1 if never."""
        try:
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(place.topic, place.number), cached=True
            )
        except KafkaException:
            return -1
        return int(high)

    def commit(self, place: Place, offset: int) -> None:
        """Tell the brokers how far a partition is read, for tools that show it; nothing depends on it."""
        if self._clients.commits:
            at = TopicPartition(place.topic, place.number, offset)
            try:
                self._consumer.commit(offsets=[at], asynchronous=True)
            except KafkaException as error:
                log.debug("an offset was not committed", place=str(place), error=str(error))

    def close(self) -> None:
        """Leave."""
        self._queues.clear()
        if self._made is not None:
            self._made.close()
            self._made = None

    def _pump(self) -> None:
        if self._held >= MOST_HELD:
            return
        messages = self._consumer.consume(MESSAGES_PER_READ, timeout=0)
        self._more = len(messages) == MESSAGES_PER_READ
        for message in messages:
            topic, number = message.topic(), message.partition()
            queue = None if topic is None else self._queues.get(Place(topic, number or 0))
            if queue is not None:  # errors of no partition have been told to `Trouble`
                queue.append(message)
                self._held += len(message)
