"""What is told fails, briefly; `make soak-downstream` has it fail for ten minutes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.downstream import Scene, poison, run
from tests.soak.remote_write import prometheus_gone

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if shutil.which("prometheus-alertmanager") is None:
        pytest.skip("prometheus-alertmanager is not installed: apt install prometheus-alertmanager")
    directory: Path = tmp_path_factory.mktemp("downstream")
    with Scene(directory, interval=2) as found:
        yield found


@pytest.mark.parametrize("name", ["both-ways", "stopped"])
def test_people_are_told_afterwards_and_once(scene: Scene, name: str) -> None:
    run(scene, name, seconds=5)


def test_one_alert_that_is_refused_delays_no_other(scene: Scene) -> None:
    poison(scene)


def test_a_prometheus_that_is_killed_misses_nothing(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: apt install prometheus")
    prometheus_gone(tmp_path / "engine", seconds=4, interval=1)
