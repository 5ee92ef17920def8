"""`--log-level` and `--log-format`."""

import json
from collections.abc import Iterator

import pytest
import structlog

from dataflows.live import configure_log
from dataflows.settings import Settings
from engine.telemetry.log import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _written(capsys: pytest.CaptureFixture[str], **options: str) -> str:
    configure_log(Settings(slos=(), **options))
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)(f"a {level}")
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_levels(capsys: pytest.CaptureFixture[str], level: str, lines: int) -> None:
    assert len(_written(capsys, log_level=level).splitlines()) == lines


@pytest.mark.parametrize("form", ["auto", "json"])
def test_json(capsys: pytest.CaptureFixture[str], form: str) -> None:
    lines = _written(capsys, log_format=form).splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["a info", "a warning", "a error"]


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    written = _written(capsys, log_format="text")
    assert "a warning" in written
    assert "{" not in written
