"""The engine's own metrics: what is read at a scrape."""

import math
import sqlite3
from pathlib import Path

from engine.telemetry.metrics import EngineMetrics


def test_a_disk_that_gives_no_answer_does_not_fail_the_scrape(tmp_path: Path) -> None:
    def broken() -> tuple[int, int]:
        raise sqlite3.OperationalError("disk I/O error")

    metrics = EngineMetrics()
    metrics.watch_spool(broken, 100)
    metrics.watch_reading(lambda: broken()[0], lambda: True, lambda: 3)
    metrics.watch_disk(tmp_path / "gone")
    value = metrics.registry.get_sample_value
    assert math.isnan(value("burnline_spool_bytes"))
    assert math.isnan(value("burnline_spool_payloads"))
    assert math.isnan(value("burnline_unread_seconds"))
    assert math.isnan(value("burnline_disk_free_bytes"))
    assert value("burnline_disk_bytes", {"what": "spool"}) == 0
    assert (value("burnline_replaying"), value("burnline_series")) == (1, 3)


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "recovery").mkdir()
    for name, size in (
        ("spool.db", 10),
        ("spool.db-wal", 5),
        ("alerts.json", 99),
        ("recovery/part-0", 7),
    ):
        (tmp_path / name).write_bytes(b"x" * size)
    metrics = EngineMetrics()
    metrics.watch_disk(tmp_path)
    value = metrics.registry.get_sample_value
    assert value("burnline_disk_bytes", {"what": "spool"}) == 15
    assert value("burnline_disk_bytes", {"what": "recovery"}) == 7
    assert value("burnline_disk_free_bytes") > 0
