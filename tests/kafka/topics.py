"""What tests do with topics of a real broker."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tests.kafka.broker import Broker
from tests.servers import eventually

SECONDS = 60.0

Headers = tuple[tuple[str, bytes], ...]


class Sent(NamedTuple):
    """A message to write, or one that was read."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int = 0
    seconds: float = 0.0  # its timestamp; 0 for that of now


class Topics:
    """The topics of a broker."""

    def __init__(self, broker: Broker) -> None:
        self._config = {"bootstrap.servers": broker.address, "log_level": 0}
        self._admin = AdminClient(self._config)
        self._producer = cache(self._new_producer)

    def create(self, name: str, partitions: int = 1, **config: str) -> None:
        """A new one; `config` with _ for the dots of its settings."""
        told = {key.replace("_", "."): value for key, value in config.items()}
        new = NewTopic(name, partitions, 1, config=told)
        self._admin.create_topics([new])[name].result(SECONDS)
        eventually(lambda: len(self._partitions(name)) == partitions, SECONDS)

    def grow(self, name: str, partitions: int) -> None:
        """More partitions, as many all in all."""
        self._admin.create_partitions([NewPartitions(name, partitions)])[name].result(SECONDS)
        self._producer.cache_clear()  # they knew of fewer
        eventually(lambda: len(self._partitions(name)) == partitions, SECONDS)

    def delete(self, name: str) -> None:
        self._admin.delete_topics([name])[name].result(SECONDS)
        self._producer.cache_clear()
        eventually(lambda: not self._partitions(name), SECONDS)

    def drop_before(self, name: str, partition: int, offset: int) -> None:
        """Messages before an offset are gone, as they are after retention."""
        place = TopicPartition(name, partition, offset)
        self._admin.delete_records([place])[TopicPartition(name, partition)].result(SECONDS)

    def write(self, name: str, messages: Iterable[Sent], compression: str = "none") -> None:
        """Write messages; returns once the broker has them all."""
        refused: list[str] = []
        producer = self._producer(compression)
        for message in messages:
            producer.produce(
                name,
                message.value,
                message.key,
                message.partition,
                on_delivery=lambda error, _: refused.append(str(error)) if error else None,
                headers=list(message.headers),
                **({"timestamp": int(message.seconds * 1000)} if message.seconds else {}),
            )
            producer.poll(0)
        assert producer.flush(SECONDS) == 0
        assert not refused

    def ends(self, *names: str) -> dict[tuple[str, int], int]:
        """The offset after the last message of each partition."""
        consumer = Consumer(self._config | {"group.id": "tests"})
        try:
            return {
                (name, number): consumer.get_watermark_offsets(
                    TopicPartition(name, number), SECONDS
                )[1]
                for name in names
                for number in self._partitions(name)
            }
        finally:
            consumer.close()

    def read(self, *names: str) -> list[Message]:
        """All there is now, by topic, partition and offset."""
        left = {place for place, end in self.ends(*names).items() if end}
        consumer = Consumer(
            self._config
            | {
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )
        found: list[Message] = []
        try:
            consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in left])
            while left:
                message = consumer.poll(SECONDS)
                assert message is not None, f"nothing more came, {left} are not read"
                if message.error():
                    left.discard((message.topic(), message.partition()))  # the end of a partition
                else:
                    found.append(message)
        finally:
            consumer.close()
        return sorted(found, key=lambda one: (one.topic(), one.partition(), one.offset()))

    def _new_producer(self, compression: str) -> Producer:
        return Producer(
            self._config
            | {
                "compression.type": compression,
                "enable.idempotence": True,
                "message.max.bytes": 16 << 20,
            }
        )

    def _partitions(self, name: str) -> Mapping[int, object]:
        try:
            known = self._admin.list_topics(timeout=5).topics
        except KafkaException:
            return {}
        return known[name].partitions if name in known else {}
