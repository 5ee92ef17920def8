"""Recovery partitions on disk."""

import fcntl
import json
from pathlib import Path

import pytest

from dataflows.cluster.partitions import PartitionsError, adopt, held, home, make, missing


def _directory(path: Path, numbers: tuple[int, ...], count: int = 4) -> Path:
    (path / "recovery").mkdir(parents=True)
    make(path / "recovery", numbers, count)
    return path


def test_what_is_made_is_held(tmp_path: Path) -> None:
    recovery = _directory(tmp_path, (1, 3)) / "recovery"
    assert held(recovery) == ((1, 3), 4)
    assert missing(recovery) == (0, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"recovery"}


def test_an_empty_directory_holds_nothing(tmp_path: Path) -> None:
    assert held(tmp_path) == ((), 0)
    assert held(tmp_path / "nowhere") == ((), 0)
    assert missing(tmp_path) == ()


def test_a_file_that_is_no_partition_is_said(tmp_path: Path) -> None:
    (tmp_path / "part-0.sqlite3").write_text("no database, but long enough to be looked at" * 9)
    with pytest.raises(PartitionsError, match=r"part-0\.sqlite3 is no recovery partition"):
        held(tmp_path)


def test_partitions_of_different_stores_are_said(tmp_path: Path) -> None:
    recovery = _directory(tmp_path, (0,)) / "recovery"
    make(recovery, (1,), 8)
    with pytest.raises(PartitionsError, match="different stores"):
        held(recovery)


def test_state_of_processes_that_are_no_more_is_taken_over(tmp_path: Path) -> None:
    _directory(home(tmp_path, 0), (0, 3))
    _directory(home(tmp_path, 1), (1,))
    gone = _directory(home(tmp_path, 2), (2,))
    (gone / "watched.json").write_text(json.dumps({"a": {"generation": "g", "since_ns": 3}}))
    (tmp_path / "watched.json").write_text(json.dumps({"a": {"generation": "g", "since_ns": 5}}))
    adopt(tmp_path, 2)
    assert held(tmp_path / "recovery") == ((0, 2, 3), 4)
    assert not gone.exists()
    assert json.loads((tmp_path / "watched.json").read_text())["a"]["since_ns"] == 3
    adopt(tmp_path, 1)
    assert missing(tmp_path / "recovery") == ()
    adopt(tmp_path, 1)  # nothing is left to be taken over


def test_a_process_that_still_runs_is_not_robbed(tmp_path: Path) -> None:
    _directory(home(tmp_path, 0), (0, 1))
    running = _directory(home(tmp_path, 1), (2, 3))
    with (running / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PartitionsError, match="process 1 still runs"):
            adopt(tmp_path, 1)
    assert held(running / "recovery") == ((2, 3), 4)


def test_a_partition_in_two_places_is_said(tmp_path: Path) -> None:
    _directory(home(tmp_path, 0), (0, 1))
    _directory(home(tmp_path, 1), (1,))
    with pytest.raises(PartitionsError, match="partition 1 is in"):
        adopt(tmp_path, 1)
