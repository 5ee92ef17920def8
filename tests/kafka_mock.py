"""librdkafka's mock cluster: brokers in this process, and the knobs of `rdkafka_mock.h`.

It speaks Kafka over sockets, so that the real clients are under test; it is no Kafka: it has neither
retention nor transactions nor ids of topics. What needs these is tried against a real broker elsewhere.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
from confluent_kafka import Producer

_NO_LEADER = -1


def _library() -> ctypes.CDLL:
    beside = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(beside.glob("librdkafka*"))))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, answer, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
        ("rd_kafka_mock_topic_delete", number, [pointer, text]),
        ("rd_kafka_mock_partition_set_leader", number, [pointer, text, number, number]),
        ("rd_kafka_mock_partition_delete_records", number, [pointer, text, number, ctypes.c_int64]),
        ("rd_kafka_mock_set_controller_id", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_down", number, [pointer, number]),
        ("rd_kafka_mock_broker_set_up", number, [pointer, number]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = answer, arguments
    return library


class MockKafka:
    """A cluster of one broker.

    Attributes:
        brokers: its address.
        producer: writes to it, to the partition that it is told.
    """

    def __init__(self) -> None:
        self._c = _library()
        conf = self._c.rd_kafka_conf_new()
        said = ctypes.create_string_buffer(512)
        self._c.rd_kafka_conf_set(conf, b"log_level", b"0", said, len(said))
        self._handle = self._c.rd_kafka_new(0, conf, said, len(said))
        self._cluster = self._c.rd_kafka_mock_cluster_new(self._handle, 1)
        self._done(self._c.rd_kafka_mock_set_controller_id(self._cluster, 1))
        self.brokers = self._c.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.producer = Producer(
            {"bootstrap.servers": self.brokers, "linger.ms": 0, "log_level": 0}
        )

    def topic(self, name: str, partitions: int = 1) -> str:
        """Make a topic."""
        self._done(self._c.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1))
        return name

    def delete(self, name: str) -> None:
        """Delete a topic."""
        self._done(self._c.rd_kafka_mock_topic_delete(self._cluster, name.encode()))

    def write(self, topic: str, *values: bytes | None, partition: int = 0, **more: object) -> None:
        """Write messages, and wait for them to be there."""
        for value in values:
            self.producer.produce(topic, value, partition=partition, **more)
        assert self.producer.flush(10) == 0

    def lose_leader(self, topic: str, partition: int = 0) -> None:
        """Leave a partition without a leader."""
        self._leader(topic, partition, _NO_LEADER)

    def elect(self, topic: str, partition: int = 0) -> None:
        """Give it one again."""
        self._leader(topic, partition, 1)

    def forget(self, topic: str, before: int, partition: int = 0) -> None:
        """Delete the messages before an offset, as retention does."""
        self._done(
            self._c.rd_kafka_mock_partition_delete_records(
                self._cluster, topic.encode(), partition, before
            )
        )

    def stop(self) -> None:
        """The broker goes away."""
        self._done(self._c.rd_kafka_mock_broker_set_down(self._cluster, 1))

    def start(self) -> None:
        """It comes back."""
        self._done(self._c.rd_kafka_mock_broker_set_up(self._cluster, 1))

    def close(self) -> None:
        """End it."""
        self.producer.close()
        self._c.rd_kafka_mock_cluster_destroy(self._cluster)
        self._c.rd_kafka_destroy(self._handle)

    def _leader(self, topic: str, partition: int, broker: int) -> None:
        self._done(
            self._c.rd_kafka_mock_partition_set_leader(
                self._cluster, topic.encode(), partition, broker
            )
        )

    @staticmethod
    def _done(code: int) -> None:
        if code:
            raise RuntimeError(f"the mock cluster answered {code}")


@contextmanager
def mock_kafka() -> Iterator[MockKafka]:
    """A cluster for the time of a block."""
    cluster = MockKafka()
    try:
        yield cluster
    finally:
        cluster.close()
