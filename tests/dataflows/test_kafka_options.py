"""The options about Kafka: what fits together, and what is said where it does not."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dataflows.options import run_options, settings_of
from dataflows.settings import Settings
from engine.kafka.settings import KafkaSettings

BROKERS = ("--kafka-brokers", "a:9092, b:9092")


def _settings(*arguments: str, **environment: str) -> Settings | str:
    found: list[Settings] = []

    @click.command()
    @run_options
    def command(**options: object) -> None:
        found.append(settings_of(options))

    result = CliRunner().invoke(command, ["--slos", "x.yaml", *arguments], env=environment)
    return found[0] if found else result.output.replace("\n", " ")


def test_without_brokers_there_is_no_kafka() -> None:
    found = _settings()
    assert isinstance(found, Settings)
    assert found.kafka is None


def test_all_of_it() -> None:
    found = _settings(
        *BROKERS,
        *("--kafka-traces", "t1", "--kafka-traces", "t2", "--kafka-metrics", "m"),
        *("--kafka-logs", "l", "--kafka-encoding", "otlp_json", "--kafka-from", "latest"),
        *("--kafka-config", "k.conf", "--kafka-undecodable", "dead", "--kafka-alerts", "alerts"),
    )
    assert isinstance(found, Settings)
    assert found.kafka == KafkaSettings(
        brokers="a:9092,b:9092",
        traces=("t1", "t2"),
        metrics=("m",),
        logs=("l",),
        encoding="otlp_json",
        first="latest",
        config=Path("k.conf"),
        undecodable="dead",
        alerts="alerts",
    )


def test_the_environment_says_it_too() -> None:
    found = _settings(BURNLINE_KAFKA_BROKERS="a:9092", BURNLINE_KAFKA_TRACES="t1 t2")
    assert isinstance(found, Settings)
    assert found.kafka == KafkaSettings("a:9092", ("t1", "t2"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (BROKERS, "--kafka-brokers needs a topic to read: --kafka-traces"),
        (("--kafka-traces", "t"), "--kafka-traces needs --kafka-brokers beside it"),
        (("--kafka-alerts", "t"), "--kafka-alerts needs --kafka-brokers beside it"),
        (("--kafka-config", "f"), "--kafka-config needs --kafka-brokers beside it"),
        (
            (*BROKERS, "--kafka-traces", "t", "--kafka-metrics", "t"),
            "--kafka-metrics t: --kafka-traces names this topic already",
        ),
        (
            (*BROKERS, "--kafka-traces", "t", "--kafka-undecodable", "t"),
            "--kafka-undecodable t: --kafka-traces names this topic already",
        ),
        ((*BROKERS, "--kafka-traces", "t", "--kafka-encoding", "avro"), "'otlp_json'"),
        ((*BROKERS, "--kafka-traces", "a b"), "'a b' is no topic; write letters"),
        ((*BROKERS, "--kafka-traces", ".."), "'..' is no topic"),
        (("--kafka-brokers", "a", "--kafka-traces", "t"), "'a' is no HOST:PORT"),
    ],
)
def test_what_does_not_fit_together_is_said(arguments: tuple[str, ...], said: str) -> None:
    found = _settings(*arguments)
    assert isinstance(found, str)
    assert said in found
