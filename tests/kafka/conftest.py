"""A broker for all tests of this folder, which `make test-kafka` runs one after the other."""

import os
from collections.abc import Iterator
from itertools import count

import pytest

from tests.certificates import Authority
from tests.kafka import jars
from tests.kafka.broker import Broker, broker
from tests.kafka.topics import Topics

_numbers = count(1)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the broker's certificate, and a client's."""
    return Authority(tmp_path_factory.mktemp("authority"), "kafka-ca")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    """It may be killed, but must be started again."""
    if "BURNLINE_KAFKA" not in os.environ:
        pytest.skip("`make test-kafka` runs these, against a real Kafka")
    try:
        jars.fetch()
    except jars.UnavailableError as why:
        pytest.skip(f"no Kafka: {why}")
    with broker(tmp_path_factory.mktemp("kafka"), authority) as running:
        yield running


@pytest.fixture
def topics(kafka: Broker) -> Topics:
    return Topics(kafka)


@pytest.fixture
def name() -> str:
    """Of a topic that no other test has."""
    return f"spans-{next(_numbers)}"
