"""`burnline validate`, as a function."""

from pathlib import Path

from dataflows.validate import validate

GOLDEN = Path(__file__).parent.parent / "slo" / "golden"


def test_good_files_give_zero_a_line_each_and_notes() -> None:
    result = validate([GOLDEN / "spans.yaml", GOLDEN / "metrics.yaml"])
    assert result.exit_code == 0
    assert result.lines[-2:] == (
        f"{GOLDEN}/spans.yaml: 4 SLOs",
        f"{GOLDEN}/metrics.yaml: 4 SLOs",
    )
    assert all(": note: " in line for line in result.lines[:-2])
    assert any("clamped to" in line for line in result.lines)
    assert not result.errors


def test_monitors_are_counted_where_a_file_has_anomalies(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.yaml"
    quiet.write_text("apiVersion: burnline/v1\nservice: s\nanomalies: []\n")
    result = validate([GOLDEN / "anomalies.yaml", quiet])
    assert result.lines == (
        f"{GOLDEN}/anomalies.yaml: 1 SLO, 3 monitors",
        f"{quiet}: 0 SLOs, 0 monitors",
    )


def test_problems_give_one_and_a_count() -> None:
    result = validate([GOLDEN / "wrong-sense.yaml", GOLDEN / "metrics.yaml", GOLDEN / "nothing"])
    assert result.exit_code == 1
    assert result.lines[-1] == f"{GOLDEN}/metrics.yaml: 4 SLOs"
    number = sum(": note: " not in line for line in result.lines[:-1])
    assert result.errors == (f"{number} problems in 2 files",)
    places = [line.split(":")[:2] for line in result.lines[:-1]]
    assert places == sorted(places, key=lambda place: (place[0], int(place[1])))


def test_no_path_is_wrong_usage() -> None:
    assert validate([]).exit_code == 2
