"""Real clusters: as many processes as you like show, count and tell what a single one does."""

import os
import random
import shutil
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dataflows.cluster.company import AGAIN
from tests.dataflows.cluster.running import Cluster, record
from tests.servers import alertmanager, eventually, free_port, get_json

pytestmark = pytest.mark.timeout(900)
# A start imports much, and other tests run beside.
PATIENCE = 180
Series = dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "parts"
    record(path, 3, 160)
    return path


@pytest.fixture(scope="module")
def single(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """What a single process shows."""
    cluster = Cluster(tmp_path_factory.mktemp("single"), recorded)
    cluster.start(1, alone=True)
    found = _shown(cluster)
    cluster.stop()
    return found


@pytest.fixture
def clusters() -> Iterator[list[Cluster]]:
    """Made by the test; whatever still runs is killed."""
    made: list[Cluster] = []
    yield made
    for cluster in made:
        for process in cluster.processes:
            process.kill()
            process.wait()


def _shown(cluster: Cluster) -> Series:
    """All series, once they have stayed the same: totals of usage come some seconds later."""
    cluster.settled()
    known: list[Series] = [{}]

    def same() -> bool:
        known.append(cluster.series())
        return known[-1] == known[-2] and any(n[0].startswith("burnline_llm") for n in known[-1])

    eventually(lambda: (time.sleep(1.5), same())[1], PATIENCE)
    return known[-1]


def _assert_same(shown: Series, single: Series) -> None:
    """Each series on one process, with the value that a single process has."""
    twice = {key: values for key, values in shown.items() if len(values) != 1}
    # What is in several shards is in parts on several processes, and adds up.
    assert not {key for key in twice if not key[0].startswith("burnline_llm_")}
    summed = {key: [sum(values)] for key, values in shown.items()}
    assert summed.keys() == single.keys()
    assert {key: value for key, value in summed.items() if value != single[key]} == {}


@pytest.mark.parametrize(("processes", "workers"), [(1, 2), (2, 1), (2, 2)])
def test_any_number_of_processes_and_workers_shows_the_same(
    processes: int,
    workers: int,
    recorded: Path,
    single: Series,
    tmp_path: Path,
    clusters: list[Cluster],
) -> None:
    cluster = Cluster(tmp_path, recorded)
    clusters.append(cluster)
    cluster.start(processes, workers)
    _assert_same(_shown(cluster), single)
    codes = cluster.stop(which=[processes - 1])
    assert codes == [*[AGAIN] * (processes - 1), 0]


def test_a_process_that_is_killed_takes_all_along_and_nothing_is_lost(
    recorded: Path, single: Series, tmp_path: Path, clusters: list[Cluster]
) -> None:
    rng = random.Random(5)
    cluster = Cluster(tmp_path, recorded, pause=0.4)  # read in about 6 s
    clusters.append(cluster)
    for life in range(1, 4):
        cluster.start(2)
        eventually(partial(_complete, cluster, 2 * life), PATIENCE)
        time.sleep(rng.uniform(2.0, 5.0))
        killed = rng.randrange(2)
        cluster.processes[killed].kill()
        assert cluster.processes[1 - killed].wait(PATIENCE) == AGAIN
        said = cluster.log(1 - killed).read_text()
        assert f"process {killed} of the cluster" in said
        assert "start all processes again" in said
    cluster.start(2)
    _assert_same_counts(cluster, single)


def _complete(cluster: Cluster, times: int) -> bool:
    return len(cluster.logged("the cluster is complete")) == times


def test_processes_are_added_and_taken_away(
    recorded: Path, single: Series, tmp_path: Path, clusters: list[Cluster]
) -> None:
    """1 to 2 to 3 to 1, stopped in the middle of the input, by SIGTERM and by SIGKILL in turn."""
    cluster = Cluster(tmp_path, recorded, pause=0.5)
    clusters.append(cluster)
    for processes in (1, 2, 3):
        cluster.start(processes)
        eventually(lambda: all("burnline_" in page for page in cluster.pages()), PATIENCE)
        time.sleep(3.0)
        cluster.assert_alive()
        cluster.stop(signal.SIGKILL if processes == 2 else signal.SIGTERM)
    cluster.start(1)
    _assert_same_counts(cluster, single)
    cluster.stop()
    # And back to a process that is none of a cluster.
    cluster.start(1, alone=True)
    _assert_same_counts(cluster, single)


def test_state_on_disks_of_their_own_is_brought_together(
    recorded: Path, single: Series, tmp_path: Path, clusters: list[Cluster]
) -> None:
    cluster = Cluster(tmp_path, recorded, pause=0.5, own=True)
    clusters.append(cluster)
    cluster.start(3)
    eventually(partial(_complete, cluster, 3), PATIENCE)
    time.sleep(5.0)
    cluster.stop()
    cluster.start(1)
    assert cluster.processes[0].wait(PATIENCE) == 1
    assert "are in no process's data directory; copy" in cluster.log(0).read_text()
    for process in (1, 2):
        shutil.move(cluster.data(process) / f"process-{process}", cluster.data(0))
    cluster.start(1)
    _assert_same_counts(cluster, single)


def _assert_same_counts(cluster: Cluster, single: Series) -> None:
    """As above, but for anomalies.

    A life that begins where the recording has ended, as time stands still there, sees no interval end and so
    has nothing to show of them; `tests/dataflows/test_incidents_killed.py` is about those.
    """
    _assert_same(_without_anomalies(_shown(cluster)), _without_anomalies(single))


def _without_anomalies(series: Series) -> Series:
    return {key: each for key, each in series.items() if not key[0].startswith("burnline_anomaly")}


@pytest.mark.servers
def test_each_alert_is_told_once_and_keeps_its_start(
    recorded: Path, tmp_path: Path, clusters: list[Cluster]
) -> None:
    with alertmanager(tmp_path) as url:
        cluster = Cluster(tmp_path / "cluster", recorded, BURNLINE_ALERTMANAGER=url)
        clusters.append(cluster)
        starts: list[dict[str, str]] = []
        for processes in (2, 3, 1):
            cluster.start(processes)
            shown = _shown(cluster)
            alerts = [key for key in shown if key[0] == "ALERTS"]
            assert len(alerts) > 3
            assert all(len(shown[key]) == 1 for key in alerts)
            told = eventually(partial(_told, url, len(alerts)), PATIENCE)
            starts.append({one["fingerprint"]: one["startsAt"] for one in told})
            cluster.stop(signal.SIGKILL if processes == 2 else signal.SIGTERM)
        assert starts[0] == starts[1] == starts[2]
        # In each life one process told of it.
        names = ("alertname", "severity", "slo", "group", "summary")
        fired = Counter(
            str([line.get(name) for name in names]) for line in cluster.logged("alert fires")
        )
        assert fired
        assert max(fired.values()) == 1


def _told(url: str, count: int) -> list[dict[str, str]] | None:
    alerts = get_json(f"{url}/api/v2/alerts")
    found = [a for a in alerts if a["labels"]["alertname"] != "Watchdog"]
    return found if len(found) == count else None


def test_processes_that_differ_are_told_so(
    recorded: Path, tmp_path: Path, clusters: list[Cluster]
) -> None:
    cluster = Cluster(tmp_path, recorded)
    clusters.append(cluster)
    addresses = f"127.0.0.1:{free_port()};127.0.0.1:{free_port()}"
    cluster.ports = [free_port(), free_port()]
    cluster.processes = [
        cluster.spawn(0, 1, addresses),
        cluster.spawn(1, 1, addresses, BURNLINE_SERIES_LIMIT="77"),
    ]
    for number, process in enumerate(cluster.processes):
        assert process.wait(PATIENCE) == 1
        said = cluster.log(number).read_text()
        assert "process 1 has --series-limit 77 and process 0 has 10000" in said


def test_who_waits_for_the_others_says_so_and_can_be_stopped(
    recorded: Path, tmp_path: Path, clusters: list[Cluster]
) -> None:
    cluster = Cluster(tmp_path, recorded)
    clusters.append(cluster)
    addresses = f"127.0.0.1:{free_port()};127.0.0.1:{free_port()}"
    cluster.ports = [free_port()]
    cluster.processes = [cluster.spawn(0, 1, addresses)]
    waiting = eventually(
        lambda: cluster.logged("waiting for other processes of the cluster"), PATIENCE
    )
    assert waiting[0]["missing"] == [f"1 ({addresses.partition(';')[2]})"]
    assert _status(cluster.ports[0], "/healthz") == 200
    assert _status(cluster.ports[0], "/readyz") == 503
    assert cluster.stop() == [0]


def test_a_process_that_hangs_is_missed(
    recorded: Path, tmp_path: Path, clusters: list[Cluster]
) -> None:
    """Half a minute: /healthz fails; a minute: the cluster ends."""
    cluster = Cluster(tmp_path, recorded)
    clusters.append(cluster)
    cluster.start(2)
    cluster.settled()
    os.kill(cluster.processes[1].pid, signal.SIGSTOP)
    eventually(lambda: _status(cluster.ports[0], "/healthz") == 503, PATIENCE)
    assert cluster.processes[0].wait(PATIENCE) == AGAIN
    assert "process 1 of the cluster" in cluster.log(0).read_text()
    assert "has hung or can't be reached" in cluster.log(0).read_text()
    os.kill(cluster.processes[1].pid, signal.SIGCONT)
    assert cluster.processes[1].wait(PATIENCE) == AGAIN


def test_a_reload_is_not_had_and_said_so(
    recorded: Path, tmp_path: Path, clusters: list[Cluster]
) -> None:
    cluster = Cluster(tmp_path, recorded, BURNLINE_WATCH="true")
    clusters.append(cluster)
    cluster.start(2)
    cluster.settled()
    cluster.processes[1].send_signal(signal.SIGHUP)
    eventually(lambda: "SLO files are not read again" in cluster.log(1).read_text(), PATIENCE)
    assert "--watch has no effect in a cluster" in cluster.log(0).read_text()
    cluster.assert_alive()


def _status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
