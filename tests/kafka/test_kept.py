"""Whatever happens to the broker, a topic or the engine: nothing is lost, and nothing counts twice."""

import signal
import time

import pytest

from tests.kafka.calls import Calls, slowly
from tests.kafka.readers import Readers, ended
from tests.servers import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_broker_goes_and_comes_back(tmp_path, kafka, topics, name, how):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(20, (0, 1), compression="lz4")
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        with slowly(calls, 200, (0, 1)):
            time.sleep(1)
            getattr(kafka, how)()
            shown = readers.counts()
            time.sleep(2)
            assert sum(readers.counts().values()) >= sum(shown.values()) > 0  # it goes on showing
            kafka.start()
        readers.settled(calls.expected)
        assert readers.total("burnline_kafka_lost_messages_total") == 0
        assert readers.stop() == [0]


def test_the_broker_hangs_for_a_while(tmp_path, kafka, topics, name):
    """As behind a network that drops what is sent."""
    topics.create(name)
    calls = Calls(topics, name)
    calls.write(10)
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        readers.settled(calls.expected)
        kafka.pause()
        try:
            time.sleep(6)
            assert readers.counts() == calls.expected
        finally:
            kafka.go_on()
        calls.write(10)
        readers.settled(calls.expected)


def test_partitions_are_added_while_it_reads(tmp_path, kafka, topics, name):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(10, (0, 1))
    with ended(Readers(tmp_path, kafka, name, WORKERS="2")) as readers:
        readers.start()
        readers.settled(calls.expected)
        topics.grow(name, 5)
        # They are read from their beginning: this comes before the engine can know of them.
        calls.write(10, range(5))
        readers.settled(calls.expected)
        # They are known after a crash, too.
        readers.stop(signal.SIGKILL)
        calls.write(10, range(5))
        readers.start()
        readers.settled(calls.expected)


def test_a_topic_comes_later_than_the_engine(tmp_path, kafka, topics, name):
    calls = Calls(topics, name)
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        topics.create(name, 3)
        calls.write(10, range(3))
        readers.settled(calls.expected)
        readers.stop(signal.SIGKILL)
        calls.write(10, range(3))
        readers.start()
        readers.settled(calls.expected)


def test_the_engine_is_killed_at_random_moments(tmp_path, kafka, topics, name):
    topics.create(name, 3, message_timestamp_type="LogAppendTime")
    calls = Calls(topics, name)
    with ended(Readers(tmp_path, kafka, name)) as readers, slowly(calls, 300, range(3)):
        for wait in (0.2, 1.4, 0.0, 0.7):
            readers.start()
            time.sleep(wait)
            readers.stop(signal.SIGKILL)
        readers.start()
    with ended(readers):
        readers.start()
        readers.settled(calls.expected)


def test_a_topic_is_deleted_and_made_anew(tmp_path, kafka, topics, name):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(10, (0, 1))
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        readers.settled(calls.expected)
        topics.delete(name)
        time.sleep(1)
        topics.create(name, 2)
        calls.write(4, (0, 1))  # offsets that were read before, of another topic
        readers.settled(calls.expected)
        # Also while the engine is away.
        readers.stop()
        topics.delete(name)
        topics.create(name, 1)
        calls.write(7, (0,))
        readers.start()
        readers.settled(calls.expected)


def test_what_retention_took_unread_is_counted_as_lost(tmp_path, kafka, topics, name):
    topics.create(name)
    calls = Calls(topics, name)
    calls.write(10)
    with ended(Readers(tmp_path, kafka, name)) as readers:
        readers.start()
        readers.settled(calls.expected)
        readers.stop()
        lost = Calls(topics, name, seed=2)
        lost.write(40)
        calls.write(5)
        topics.drop_before(name, 0, 50)
        readers.start()
        readers.settled(calls.expected)
        assert eventually(lambda: readers.total("burnline_kafka_lost_messages_total")) == 40
        # It is told of once.
        readers.stop(signal.SIGKILL)
        readers.start()
        readers.settled(calls.expected)
        assert readers.total("burnline_kafka_lost_messages_total") in {0, 40}
