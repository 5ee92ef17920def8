"""The real clients against librdkafka's mock cluster: brokers that go, missing leaders, new topics."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from engine.kafka import dead_letters as letters_module
from engine.kafka import partition as partition_module
from engine.kafka import topics as topics_module
from engine.kafka.errors import CannotStart
from engine.kafka.settings import KafkaSettings
from engine.spool.arrivals import Arrivals
from slo.origins import Origin
from tests.engine.kafka.fakes import request
from tests.engine.kafka.inputs import process
from tests.kafka_mock import MockKafka, mock_kafka
from tests.servers import eventually, free_port


@pytest.fixture
def kafka() -> Iterator[MockKafka]:
    with mock_kafka() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_module, "REFRESH_SECONDS", 0.3)
    monkeypatch.setattr(partition_module, "STUCK_SECONDS", 1.5)
    monkeypatch.setattr(letters_module, "SETTLE_SECONDS", 0.2)


def test_partitions_are_read_whatever_compressed_them(kafka: MockKafka, tmp_path: Path) -> None:
    topic = kafka.topic("spans", 3)
    wanted = []
    for number, how in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        producer = Producer({"bootstrap.servers": kafka.brokers, "compression.type": how})
        for each in range(20):
            wanted.append(f"{how}{each}")
            producer.produce(topic, request(wanted[-1]), partition=(number + each) % 3)
        assert producer.flush(10) == 0
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path) as running:
        running.until_read(*wanted)
        running.until(lambda: running.input.crew.read_all_for(0.2))
        assert running.gauge("burnline_kafka_partitions", topic=topic) == 3
        assert running.gauge("burnline_kafka_lag_messages", topic=topic) == 0
        positions = running.snapshot()
    kafka.write(topic, request("more"), partition=1)
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path, positions) as running:
        running.until_read("more")


def test_a_topic_may_come_later(kafka: MockKafka, tmp_path: Path) -> None:
    with process(KafkaSettings(kafka.brokers, ("late",)), tmp_path) as running:
        running.until(lambda: running.arrivals)  # ticks: the engine is ready
        kafka.topic("late", 2)
        kafka.write("late", request("a"), partition=1)
        running.until_read("a")
        assert running.arrivals[-1].origin.parts == 2


def test_a_broker_that_goes_and_comes_back_loses_nothing(kafka: MockKafka, tmp_path: Path) -> None:
    topic = kafka.topic("spans", 2)
    kafka.write(topic, request("before"))
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path) as running:
        running.until_read("before")
        kafka.stop()
        running.until(lambda: running.counter("burnline_kafka_errors", error="all_brokers_down"))
        kafka.start()
        kafka.write(topic, request("after"), partition=1)
        running.until_read("before", "after")


def test_a_partition_without_leader_is_said_to_be_and_read_once_it_has_one(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic = kafka.topic("spans", 2)
    kafka.write(topic, request("a"))
    kafka.write(topic, request("b"), partition=1)
    kafka.lose_leader(topic, 1)
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path) as running:
        running.until(running.input.crew.live)
        assert running.gauge("burnline_kafka_unreadable_partitions", topic=topic) == 1
        running.until_read("a")
        kafka.elect(topic, 1)
        running.until_read("a", "b")
        assert running.gauge("burnline_kafka_unreadable_partitions", topic=topic) == 0


def test_what_retention_deleted_is_counted(kafka: MockKafka, tmp_path: Path) -> None:
    topic = kafka.topic("spans")
    kafka.write(topic, request("read"))
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path) as running:
        running.until_read("read")
        positions = running.snapshot()
    kafka.write(topic, *(request(f"{number}") for number in range(5)))
    kafka.forget(topic, 4)
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path, positions) as running:
        running.until_read("3", "4")
        assert running.counter("burnline_kafka_lost_messages", topic=topic) == 3


def test_a_topic_that_is_deleted_and_made_anew_is_read_from_its_beginning(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic = kafka.topic("spans")
    kafka.write(topic, request("a"), request("b"))
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path) as running:
        running.until_read("a", "b")
        positions = running.snapshot()
    kafka.delete(topic)
    kafka.topic(topic)
    kafka.write(topic, request("c"))
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path, positions) as running:
        running.until_read("c")


def test_slots_stay_when_a_topic_is_made_anew_smaller_or_read_no_more(
    kafka: MockKafka, tmp_path: Path
) -> None:
    kafka.topic("spans", 9)
    kafka.topic("points", 1)
    both = KafkaSettings(kafka.brokers, ("spans",), ("points",))
    with process(both, tmp_path) as running:
        assert len(running.parts) == 32 + 16
    kafka.delete("spans")
    with process(KafkaSettings(kafka.brokers, ("spans",)), tmp_path) as running:
        assert len(running.parts) == 32 + 16
        running.until(lambda: running.arrivals)


def test_brokers_that_do_not_answer_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module.Topics.open, "__defaults__", (0.5,))
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(CannotStart, match=f"no Kafka broker answers at {address}") as told:
        process(KafkaSettings(address, ("spans",)), tmp_path).__enter__()
    assert "--kafka-brokers" in str(told.value)


# Dead letters


def _on(kafka: MockKafka, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Message] = []
    eventually(lambda: found.extend(consumer.consume(10, 0.2)) or len(found) >= count, 20)
    consumer.close()
    return found


def test_a_dead_letter_is_the_message_as_it_was(kafka: MockKafka, tmp_path: Path) -> None:
    topic, dead = kafka.topic("spans"), kafka.topic("dead")
    kafka.write(topic, request("good"), b"\xff junk", key=b"k", headers=[("h", b"v")])
    with process(KafkaSettings(kafka.brokers, (topic,), undecodable=dead), tmp_path) as running:
        running.until(
            lambda: running.counter("burnline_kafka_dead_letters", outcome="delivered") == 1
        )
        (position,) = [p for p in running.snapshot().values() if p.offset > 0]
        assert position.undelivered == ()
    (letter,) = _on(kafka, dead, 1)
    assert (letter.value(), letter.key()) == (b"\xff junk", b"k")
    headers = dict(letter.headers() or ())
    assert headers["h"] == b"v"
    assert headers["burnline-topic"] == b"spans"
    assert headers["burnline-partition"] == b"0"
    assert headers["burnline-offset"] == b"1"
    assert b"no OTLP traces request" in (headers["burnline-reason"] or b"")


def test_dead_letters_that_did_not_arrive_before_a_crash_are_read_and_sent_again(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic, dead = kafka.topic("spans"), kafka.topic("dead")
    kafka.lose_leader(dead)
    kafka.write(topic, b"\xff 1", b"\xff 2", request("good"))
    kafka.forget(topic, 0)
    settings = KafkaSettings(kafka.brokers, (topic,), undecodable=dead)
    with process(settings, tmp_path) as running:
        running.until_read("good")
        positions = running.snapshot()
        assert positions["spans/0"].undelivered == (0, 1)
    kafka.forget(topic, 1)  # and retention has taken one of them
    kafka.elect(dead)
    with process(settings, tmp_path, positions) as running:
        running.until(lambda: running.snapshot()["spans/0"].undelivered == ())
        assert running.counter("burnline_kafka_dead_letters", outcome="gone") == 1
        assert running.counter("burnline_kafka_dead_letters", outcome="delivered") == 1
        assert running.read() == []
    assert _on(kafka, dead, 1)[-1].value() == b"\xff 2"


def test_what_the_flow_itself_failed_on_is_a_dead_letter_as_the_flow_had_it(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic, dead = kafka.topic("spans"), kafka.topic("dead")
    settings = KafkaSettings(kafka.brokers, (topic,), undecodable=dead)
    one = Arrivals(1.0, traces=(b"poison",), origin=Origin("spans/0", 1))
    with process(settings, tmp_path) as running:
        running.input.set_aside(one, ValueError("a bug"))
    (letter,) = _on(kafka, dead, 1)
    headers = dict(letter.headers() or ())
    assert letter.value() == b"poison"
    assert headers["burnline-reason"] == b"a mistake in Burnline: ValueError"
    assert headers["burnline-topic"] == b"spans"
    assert "burnline-offset" not in headers


def test_partitions_beyond_the_slots_are_said_and_not_waited_for(
    kafka: MockKafka, tmp_path: Path
) -> None:
    topic = kafka.topic("spans", 1)
    with process(KafkaSettings(kafka.brokers, (topic,)), tmp_path) as running:
        topics = running.input.topics
        topics._count(topic, 40)
        assert topics.counts[topic] == 16
