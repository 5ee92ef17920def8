"""Messages of unusual kinds: aborted, huge, empty; and what others see of what was read."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.kafka.calls import Calls
from tests.kafka.readers import Readers, ended
from tests.kafka.topics import Sent
from tests.servers import eventually

pytestmark = pytest.mark.timeout(180)


def test_what_a_transaction_took_back_does_not_count_nor_hold_up(tmp_path, kafka, topics, name):
    """Its messages stay in the log, and so do the marks of its end, which are no messages."""
    topics.create(name)
    calls = Calls(topics, name)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": name})
    producer.init_transactions(60)

    def write(messages: list[bytes], *, keep: bool) -> None:
        producer.begin_transaction()
        for message in messages:
            producer.produce(name, message, partition=0)
        producer.flush(30)
        producer.commit_transaction(30) if keep else producer.abort_transaction(30)

    undone = Calls(topics, name, seed=2)
    write([calls.message() for _ in range(10)], keep=True)
    write([undone.message() for _ in range(10)], keep=False)
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        readers.settled(calls.expected)
        # The last offsets hold nothing that counts; they are passed all the same.
        eventually(lambda: readers.total("burnline_kafka_lag_messages") == 0, 20)
        write([calls.message() for _ in range(10)], keep=True)
        write([undone.message() for _ in range(10)], keep=False)
        readers.settled(calls.expected)
        assert readers.total("burnline_kafka_lost_messages_total") == 0
        readers.stop()
        readers.start()
        readers.settled(calls.expected)


def test_huge_and_empty_ones(tmp_path, kafka, topics, name):
    topics.create(name, max_message_bytes=str(8 << 20))
    calls = Calls(topics, name)
    sent = [Sent(calls.message(2)), Sent(calls.message(25_000)), Sent(b""), Sent(None)]
    assert len(sent[1].value or b"") > 3 << 20
    topics.write(name, [*sent, Sent(calls.message(3))])
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        readers.settled(calls.expected)


def test_tools_that_show_lag_see_it_under_the_group_of_the_file(tmp_path, kafka, topics, name):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(10, (0, 1))
    config = tmp_path / "kafka.properties"
    config.write_text(f"group.id={name}-readers\n")
    places = [TopicPartition(name, number) for number in (0, 1)]
    with ended(Readers(tmp_path, kafka, name, KAFKA_CONFIG=str(config))) as readers:
        readers.start()
        readers.settled(calls.expected)
        asks = Consumer({"bootstrap.servers": kafka.address, "group.id": f"{name}-readers"})
        try:
            eventually(lambda: [p.offset for p in asks.committed(places, 10)] == [10, 10], 30)
        finally:
            asks.close()
