"""The broker that the other tests rely on, by clients of librdkafka's own."""

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka.broker import PASSWORD, USER
from tests.kafka.topics import Sent

pytestmark = pytest.mark.timeout(180)


def test_what_it_acknowledged_it_still_has_after_a_kill(kafka, topics, name):
    sent = [Sent(b"one", b"key", (("header", b"value"),)), Sent(None, None, (), 1)]
    topics.create(name, 2)
    topics.write(name, sent, "zstd")
    kafka.kill()
    kafka.start()
    found = topics.read(name)
    assert [(m.value(), m.key(), tuple(m.headers() or ()), m.partition()) for m in found] == [
        sent_one[:4] for sent_one in sent
    ]


def test_topics_grow_lose_messages_and_begin_anew(topics, name):
    topics.create(name, 1)
    topics.write(name, [Sent(b"1"), Sent(b"2")])
    topics.grow(name, 3)
    topics.drop_before(name, 0, 1)
    assert [m.value() for m in topics.read(name)] == [b"2"]
    topics.delete(name)
    topics.create(name, 1)
    assert topics.ends(name) == {(name, 0): 0}


@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_it_lets_in_who_knows_the_password(kafka, authority, listener, mechanism):
    config = {
        "bootstrap.servers": kafka.listener(listener),
        "security.protocol": listener,
        "sasl.mechanism": mechanism,
        "sasl.username": USER,
        "ssl.ca.location": str(authority.pem),
        "log_level": 0,
    }
    assert AdminClient(config | {"sasl.password": PASSWORD}).list_topics(timeout=20).brokers
    with pytest.raises(KafkaException):
        AdminClient(config | {"sasl.password": "wrong"}).list_topics(timeout=2)
