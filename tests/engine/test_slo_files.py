"""SLO files on disk: what is found, and what cannot be read."""

import os
from pathlib import Path

import pytest

from engine.slo_files import load_paths

SLO = """\
apiVersion: burnline/v1
service: {service}
slos: [{{name: n, objective: 99, sli: {{spans: {{total: '{{}}', bad: '{{ .a }}'}}}}}}]
"""


def _write(path: Path, service: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SLO.format(service=service), "utf-8")
    return path


def test_directories_are_searched_for_yaml_in_the_order_of_names(tmp_path: Path) -> None:
    _write(tmp_path / "b.yaml", "b")
    _write(tmp_path / "a" / "x.yml", "a")
    _write(tmp_path / ".git" / "x.yaml", "hidden")
    _write(tmp_path / "..data" / "x.yaml", "hidden2")
    (tmp_path / "notes.txt").write_text("no SLO")
    (tmp_path / "loop").symlink_to(tmp_path)
    loaded = load_paths([tmp_path])
    assert [o.service for o in loaded.objectives] == ["a", "b"]
    assert not loaded.problems


def test_a_file_is_read_whatever_its_suffix_and_once_though_named_twice(tmp_path: Path) -> None:
    path = _write(tmp_path / "slos.conf", "a")
    loaded = load_paths([path, str(path)])
    assert len(loaded.objectives) == 1
    assert loaded.counts == {str(path): 1}


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: 1\nb: é caf".encode() + b"\xe9\n")
    loaded = load_paths([tmp_path / "missing.yaml", tmp_path / "empty", latin, "a\0b"])
    assert [str(p).replace(str(tmp_path), "") for p in loaded.problems] == [
        "/empty:1:1: the directory has no *.yaml or *.yml file; name another",
        "/latin.yaml:2:9: not UTF-8 (byte 0xe9); save the file as UTF-8",
        "/missing.yaml:1:1: there is no such file; check the path",
        "a\0b:1:1: cannot be read: embedded null byte; check the path and its permissions",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_files_are_a_problem(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.yaml", "a")
    path.chmod(0)
    assert "Permission denied" in str(load_paths([path]).problems[0])
