"""The topic of alerts: beginnings, changes and ends, under Alertmanager's fingerprint."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from engine.kafka import alerts as module
from engine.kafka.alerts import AlertsTopic, fingerprint
from engine.kafka.config import Clients
from engine.kafka.errors import Trouble
from engine.kafka.settings import KafkaSettings
from engine.sinks import outbox
from engine.sinks.board import Board
from slo.decision import Alert, Decision, SeriesKey
from tests.engine.sinks import boards
from tests.engine.sinks.boards import grouped, objective
from tests.kafka_mock import MockKafka, mock_kafka
from tests.servers import eventually

SINGLE, GROUPED = objective(), grouped()
S_KEY = SeriesKey(SINGLE.id, (), SINGLE.generation)
G_KEY = SeriesKey(GROUPED.id, ("m1", "t1"), GROUPED.generation)
ROWS = {S_KEY: (1, 10), G_KEY: (1, 10)}


@pytest.fixture
def kafka() -> Iterator[MockKafka]:
    with mock_kafka() as cluster:
        cluster.topic("alerts")
        yield cluster


def _alert(key: SeriesKey) -> Alert:
    return boards.alert(key, starts_at=time.time() - 60)


def _decision(*alerts: Alert) -> Decision:
    return boards.decision(ROWS, alerts=alerts, clock=time.time())


def _topic(kafka: MockKafka, board: Board, counted: Counter[str]) -> AlertsTopic:
    clients = Clients(KafkaSettings(kafka.brokers), Trouble())
    return AlertsTopic(
        clients, "alerts", board, lambda outcome: counted.update([outcome]), "http://burnline"
    )


class Reader:
    def __init__(self, kafka: MockKafka) -> None:
        self.consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "test"})
        self.consumer.assign([TopicPartition("alerts", 0, 0)])
        self.found: list[tuple[str, dict]] = []

    def read(self) -> list[tuple[str, dict]]:
        for m in self.consumer.consume(10, 0.1):
            self.found.append(((m.key() or b"").decode(), json.loads(m.value() or b"")))
        return self.found

    def wait_for(self, count: int) -> list[tuple[str, dict]]:
        eventually(lambda: len(self.read()) >= count, 20)
        assert len(self.found) == count
        return self.found


def test_beginning_and_end_are_told_once_each(kafka: MockKafka) -> None:
    board, counted, reader = Board([SINGLE, GROUPED]), Counter[str](), Reader(kafka)
    topic = _topic(kafka, board, counted)
    topic.start()
    board.publish(_decision(_alert(S_KEY), _alert(G_KEY)))
    found = reader.wait_for(2)
    assert {message["status"] for _, message in found} == {"firing"}
    for key, message in found:
        assert key == fingerprint(tuple(sorted(message["labels"].items())))
        assert "endsAt" not in message
        assert message["generatorURL"] == "http://burnline"
        assert message["annotations"]["summary"]
    board.publish(_decision(_alert(G_KEY)))
    key, ended = reader.wait_for(3)[-1]
    assert ended["status"] == "resolved"
    assert ended["endsAt"] > ended["startsAt"]
    assert key in {k for k, m in found[:2] if m["labels"] == ended["labels"]}
    topic.stop()
    assert counted == {"delivered": 3}
    assert topic._outbox.items


def test_what_changes_is_told_again_and_what_does_not_is_not(
    kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RESEND_SECONDS", 0.2)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)
    board, counted, reader = Board([SINGLE]), Counter[str](), Reader(kafka)
    topic = _topic(kafka, board, counted)
    topic.start()
    fired = _alert(S_KEY)
    board.publish(_decision(fired))
    reader.wait_for(1)
    eventually(lambda: topic._progress.accepted, 10)
    first = dict(topic._progress.accepted)
    eventually(lambda: topic._progress.accepted != first, 10)  # due again, and the same
    board.publish(_decision(replace(fired, burn_short=77.0)))
    found = reader.wait_for(2)
    topic.stop()
    assert found[0][0] == found[1][0]
    assert found[0][1]["annotations"] != found[1][1]["annotations"]


def test_brokers_that_are_away_get_the_newest_state_when_they_are_back(kafka: MockKafka) -> None:
    board, counted, reader = Board([SINGLE]), Counter[str](), Reader(kafka)
    kafka.lose_leader("alerts")
    topic = _topic(kafka, board, counted)
    topic.start()
    board.publish(_decision(_alert(S_KEY)))
    board.publish(_decision())
    kafka.elect("alerts")
    eventually(lambda: reader.read()[-1:] and reader.found[-1][1]["status"] == "resolved", 20)
    topic.stop()


def test_a_restart_says_again_what_fires_and_what_ended(kafka: MockKafka, tmp_path: Path) -> None:
    book = tmp_path / "alerts.json"
    before = Board([SINGLE, GROUPED], book)
    before.publish(_decision(_alert(S_KEY), _alert(G_KEY)))
    before.publish(_decision(_alert(G_KEY)))
    board, counted, reader = Board([SINGLE, GROUPED], book), Counter[str](), Reader(kafka)
    topic = _topic(kafka, board, counted)
    topic.start()
    found = reader.wait_for(2)
    assert sorted(message["status"] for _, message in found) == ["firing", "resolved"]
    topic.stop()
