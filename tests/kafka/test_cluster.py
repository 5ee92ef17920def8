"""Processes that read one topic together: added, removed, killed; the numbers are those of one."""

import signal
import time
from collections import Counter

import pytest

from dataflows.cluster.company import AGAIN
from tests.kafka.calls import Calls, slowly
from tests.kafka.readers import Readers, ended
from tests.servers import eventually, prometheus, query

pytestmark = pytest.mark.timeout(300)
CLUSTER = {"RECOVERY_PARTITIONS": "4", "SHARDS": "8"}

# What it shows of others; the rest of such names are the engine's own.
SHARED = ("slo:", "sloth_", "burnline_slo_e", "burnline_slo_period", "ALERTS")


def _shown(readers: Readers) -> Counter[tuple[str, tuple[tuple[str, str], ...]]]:
    """On how many processes each series is."""
    return Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for engine in readers.engines
        for sample in engine.samples()
        if sample.name.startswith(SHARED) and sample.labels.get("alertname") != "Watchdog"
    )


def test_processes_are_added_and_removed_while_it_is_written(tmp_path, kafka, topics, name):
    topics.create(name, 4)
    calls = Calls(topics, name)
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        with slowly(calls, 250, range(4)):
            for processes, ends in ((1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGKILL)):
                readers.start(processes)
                time.sleep(1)
                codes = readers.stop(ends)
                assert ends == signal.SIGKILL or codes == [0] * processes
            readers.start(1)
        readers.settled(calls.expected)
        assert readers.stop() == [0]


def test_each_series_is_on_one_process(tmp_path, kafka, topics, name):
    topics.create(name, 4)
    calls = Calls(topics, name)
    calls.write(20, range(4))
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        readers.start(2)
        readers.settled(calls.expected)
        shown = _shown(readers)
        assert {name for (name, _), times in shown.items() if times > 1} == set()
        # So Prometheus has each once, too.
        targets = [f"127.0.0.1:{engine.ports['face']}" for engine in readers.engines]
        with prometheus(tmp_path, "", {"static_configs": [{"targets": targets}]}) as url:
            total = sum(n for (slo, *_), n in calls.expected.items() if slo == "every")
            asked = 'sum(burnline_slo_events_total{sloth_slo="every"})'
            eventually(lambda: query(url, asked) == [({}, total)], 20)
            found = query(url, "count by (sloth_slo) (slo:error_budget:ratio)")
            once = [("availability", 1), ("every", 1)]
            assert sorted((labels["sloth_slo"], n) for labels, n in found) == once
        # All of what a single process shows is there, zeros too.
        readers.stop()
        readers.start(1)
        readers.settled(calls.expected)
        assert _shown(readers).keys() == shown.keys()


def test_one_is_told_to_stop_and_all_do(tmp_path, kafka, topics, name):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(10, (0, 1))
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        readers.start(2)
        readers.settled(calls.expected)
        readers.engines[1].process.send_signal(signal.SIGTERM)
        # Whoever runs the other would start it again: it was not asked.
        assert [engine.process.wait(60) for engine in readers.engines] == [AGAIN, 0]
        calls.write(10, (0, 1))
        readers.start(2)
        readers.settled(calls.expected)


@pytest.mark.parametrize("which", [0, 1])
def test_one_dies_the_others_end_and_all_go_on(tmp_path, kafka, topics, name, which):
    topics.create(name, 3)
    calls = Calls(topics, name)
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        readers.start(2)
        calls.write(20, range(3))
        time.sleep(0.7)
        died, left = readers.engines[which], readers.engines[1 - which]
        died.stop(signal.SIGKILL)
        calls.write(20, range(3))
        assert left.process.wait(60) == AGAIN
        said = [line for line in left.log.read_text().splitlines() if line]
        assert any("process" in line for line in said), said[-5:]
        readers.start(2)
        readers.settled(calls.expected)


def test_the_broker_goes_away_under_a_cluster_that_grows(tmp_path, kafka, topics, name):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(10, (0, 1))
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        readers.start(2)
        readers.settled(calls.expected)
        kafka.kill()
        time.sleep(1)
        kafka.start()
        topics.grow(name, 3)
        calls.write(10, range(3), compression="gzip")
        readers.settled(calls.expected)
        codes = eventually(readers.stop, 60)
        assert codes == [0, 0]
