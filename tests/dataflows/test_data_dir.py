"""What the start says of the disk."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from dataflows import data_dir
from dataflows.settings import Settings


@pytest.mark.parametrize(("block", "warnings"), [(1024, 1), (4096, 0), (131_072, 0)])
def test_a_file_system_with_small_blocks_is_warned_of(tmp_path, monkeypatch, block, warnings):
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bsize=block))
    with capture_logs() as logs:
        data_dir.prepare(Settings(slos=(Path("slos.yaml"),), data_dir=tmp_path / "data"))
    assert [line["block_bytes"] for line in logs] == [block] * warnings
