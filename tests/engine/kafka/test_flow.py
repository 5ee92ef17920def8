"""The source in a flow of Bytewax, which is aborted again and again: what is counted is exact."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main

from engine.kafka import topics as topics_module
from engine.kafka.input import KafkaInput
from engine.kafka.settings import KafkaSettings
from engine.sinks.board import Board
from engine.telemetry.metrics import EngineMetrics
from tests.engine.kafka.fakes import names, request
from tests.kafka_mock import mock_kafka

EACH = 40


def test_a_flow_that_is_aborted_resumes_without_loss_or_duplicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_module, "REFRESH_SECONDS", 0.3)
    (tmp_path / "recovery").mkdir()
    init_db_dir(tmp_path / "recovery", 2)
    written: list[str] = []
    state: dict[str, Counter[str]] = {}

    def run(end_after: int, *, abort: bool, workers: int) -> None:
        """One process; it ends when so many spans were counted in it and before it."""

        def stopping() -> bool:
            if sum(map(Counter.total, state.values())) < end_after:
                return False
            if abort:
                raise AbortExecution
            return True

        def count(seen: Counter[str] | None, name: str) -> tuple[Counter[str], int]:
            seen = Counter(seen or ()) + Counter([name])
            state[name.partition(":")[0]] = seen
            return seen, seen[name]

        process = KafkaInput(
            KafkaSettings(kafka.brokers, (topic,)), tmp_path, EngineMetrics(), Board([])
        )
        process.open()
        flow = Dataflow("test")
        arrivals = op.input("kafka", flow, process.source(stopping))
        spans = op.flat_map("spans", arrivals, lambda each: names([each]))
        keyed = op.key_on("key", spans, lambda name: name.partition(":")[0])
        op.output("out", op.stateful_map("count", keyed, count), TestingSink([]))
        state.clear()
        cluster_main(
            flow,
            [],
            0,
            worker_count_per_proc=workers,
            epoch_interval=timedelta(milliseconds=30),
            recovery_config=RecoveryConfig(tmp_path / "recovery"),
        )
        process.close()

    with mock_kafka() as kafka:
        topic = kafka.topic("spans", 3)
        for turn, (abort, workers) in enumerate(((True, 1), (True, 2), (False, 2), (False, 1))):
            for number in range(EACH):
                written.append(f"{number % 3}:{turn}.{number}")
                kafka.write(topic, request(written[-1]), partition=number % 3)
            run(len(written), abort=abort, workers=workers)
    assert sum(state.values(), Counter()) == Counter(written)
