"""Processes that read one topic together: added, removed, killed; the numbers are those of one."""

import signal
import time
from collections import Counter

import pytest

from tests.kafka.calls import Calls
from tests.kafka.readers import Readers, ended
from tests.servers import eventually

pytestmark = pytest.mark.timeout(300)
CLUSTER = {"RECOVERY_PARTITIONS": "4", "SHARDS": "8"}


def test_processes_are_added_and_removed_while_it_is_written(tmp_path, kafka, topics, name):
    topics.create(name, 4)
    calls = Calls(topics, name)
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        for processes, ends in ((1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGKILL)):
            readers.start(processes)
            calls.write(10, range(4))
            readers.settled(calls.expected)
            calls.write(10, range(4))  # it may be anywhere when they end
            codes = readers.stop(ends)
            assert ends == signal.SIGKILL or codes == [0] * processes
            calls.write(10, range(4))
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
        shown = Counter(
            (sample.name, tuple(sorted(sample.labels.items())))
            for engine in readers.engines
            for sample in engine.samples()
            if sample.name.startswith(("burnline_slo_", "slo:", "sloth_"))
        )
        assert {name for (name, _), times in shown.items() if times > 1} == set()
        # All of what a single process shows is there, zeros too.
        readers.stop()
        readers.start(1)
        readers.settled(calls.expected)
        (engine,) = readers.engines
        alone = {(s.name, tuple(sorted(s.labels.items()))) for s in engine.samples()}
        assert {one for one in alone if one[0].startswith(("burnline_slo_", "slo:"))} == {
            one for one in shown if one[0].startswith(("burnline_slo_", "slo:"))
        }


def test_one_is_told_to_stop_and_all_do(tmp_path, kafka, topics, name):
    topics.create(name, 2)
    calls = Calls(topics, name)
    calls.write(10, (0, 1))
    with ended(Readers(tmp_path, kafka, name, **CLUSTER)) as readers:
        readers.start(2)
        readers.settled(calls.expected)
        readers.engines[1].process.send_signal(signal.SIGTERM)
        assert [engine.process.wait(60) for engine in readers.engines] == [0, 0]
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
        assert left.process.wait(60) not in {0, -signal.SIGKILL}
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
