"""The chart's cluster with what it renders, a volume for each pod: started, made larger, made smaller."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.engines import BIN, Engine
from tests.kafka.calls import SLOS, Calls
from tests.servers import eventually, free_port

ROOT = Path(__file__).parents[2]
MANIFESTS = list(yaml.safe_load_all((ROOT / "tests/deploy/rendered/cluster.yaml").read_text()))
MOVE = ROOT / "deploy" / "helm" / "move-process.yaml"
pytestmark = pytest.mark.timeout(300)


class Pod(Engine):
    """A pod's container as a process: its arguments and variables, at other addresses and places.

    Args:
        volume: outlives the pod.
        number: at the end of its name.
        addresses: what the names of all pods stand for here.
        kafka: HOST:PORT of the broker.
        topic: of traces.
    """

    def __init__(
        self, volume: Path, number: int, addresses: list[str], kafka: str, topic: str
    ) -> None:
        volume.mkdir(exist_ok=True)
        super().__init__(volume, SLOS)
        (stateful,) = [m for m in MANIFESTS if m["kind"] == "StatefulSet"]
        (container,) = stateful["spec"]["template"]["spec"]["containers"]
        own = {
            "BYTEWAX_POD_NAME": f"{stateful['metadata']['name']}-{number}",
            "BYTEWAX_ADDRESSES": ";".join(addresses),
            "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR"),
        }
        told = {v["name"]: own.get(v["name"], v.get("value")) for v in container["env"]}
        self.variables = {name: value for name, value in told.items() if value is not None}
        changed = {
            "--slos": self.slos,
            "--data-dir": volume / "data",
            "--http": f"127.0.0.1:{self.ports['face']}",
            "--snapshot-interval": "1s",
            "--kafka-brokers": kafka,
            "--kafka-traces": topic,
        }
        self.arguments = []
        for argument in container["args"]:
            option, _, value = argument.partition("=")
            if option not in ("--kafka-metrics", "--alertmanager"):
                given = changed.get(option, value)
                self.arguments.append(f"{option}={given}" if given else option)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | self.variables

    def begin(self) -> None:
        self.spawn(str(BIN / "burnline"), *self.arguments)


class Pods:
    """The StatefulSet: so many pods, a volume for each number."""

    def __init__(self, directory: Path, kafka: str, topic: str) -> None:
        self.directory, self.kafka, self.topic = directory, kafka, topic
        self.running: list[Pod] = []

    def volume(self, number: int) -> Path:
        return self.directory / f"data-burnline-{number}"

    def spawn(self, replicas: int) -> None:
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(replicas)]
        self.running = [
            Pod(self.volume(number), number, addresses, self.kafka, self.topic)
            for number in range(replicas)
        ]
        for pod in self.running:
            pod.begin()

    def start(self, replicas: int) -> None:
        self.spawn(replicas)
        eventually(lambda: all(pod.ready() for pod in self.running), 90)

    def delete(self) -> None:
        """All together, as the chart's notes say."""
        for pod in self.running:
            pod.process.terminate()
        assert [pod.process.wait(60) for pod in self.running] == [0] * len(self.running)

    def counts(self) -> Counter:
        found = Counter()
        for pod in self.running:
            found.update({key: int(value) for key, value in pod.counts().items() if value})
        return found

    def move(self, process: int) -> None:
        """The Job that brings a process's state to process 0."""
        job = yaml.safe_load(MOVE.read_text())
        script = job["spec"]["template"]["spec"]["containers"][0]["command"][2]
        script = script.replace("process-2", f"process-{process}")
        for volume, name in ((self.volume(process), "/from/"), (self.volume(0), "/to/")):
            script = script.replace(name, f"{volume}/")
        subprocess.run(["sh", "-ec", script], check=True)


def test_a_cluster_of_pods_shrinks_and_grows(tmp_path, kafka, topics, name):
    """From 3 to 2 and back. Messages come in each state, and while there is no pod."""
    topics.create(name, 4)
    calls = Calls(topics, name)
    pods = Pods(tmp_path, kafka.address, name)

    def writes_count() -> None:
        calls.write(10, range(4))
        eventually(lambda: pods.counts() == calls.expected, 60)
        pods.delete()
        calls.write(10, range(4))

    try:
        pods.start(3)
        writes_count()
        pods.spawn(2)
        assert [pod.process.wait(60) for pod in pods.running] == [1, 1]
        assert "recovery partitions 2, 5, 8, 11 and 14 of 16" in pods.running[0].log.read_text()
        pods.move(2)
        pods.start(2)
        writes_count()
        assert not (pods.volume(0) / "data" / "process-2").exists()
        pods.start(3)
        writes_count()
    finally:
        for pod in pods.running:
            pod.process.kill()
            pod.process.wait()
