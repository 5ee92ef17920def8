"""`burnline detect` as people run it: files, pipes, directories; and what it says when that fails."""

import contextlib
import csv
import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dataflows.cli import main
from dataflows.detect import processes
from dataflows.detect.judge import HEADER
from dataflows.detect.paths import Job
from dataflows.detect.run import Outcome

BURNLINE = Path(sys.executable).parent / "burnline"
COLUMNS = HEADER.strip().split(",")


def series(rows: int = 1000, seed: int = 1) -> str:
    """Noise around 50, a reading a minute; six of them at 90, from 15:00 on."""
    noise = random.Random(seed)
    values = [noise.gauss(50, 1) for _ in range(rows)]
    values[900:906] = [90.0] * len(values[900:906])
    lines = [
        f"2026-03-01T{i // 60:02}:{i % 60:02}:00Z,{value:.3f}" for i, value in enumerate(values)
    ]
    return "\n".join(["timestamp,value", *lines, ""])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpu.csv").write_text(series())
    return tmp_path


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["detect", *arguments], input=stdin)


def table(text: str) -> list[dict[str, str]]:
    read = list(csv.DictReader(io.StringIO(text)))
    assert text.startswith(HEADER)
    return read


def starts(rows: list[dict[str, str]]) -> list[str]:
    """Where alerts begin, by the column of the output."""
    before = ["0", *(row["alert"] for row in rows)]
    return [
        r["timestamp"]
        for r, was in zip(rows, before, strict=False)
        if (was, r["alert"]) == ("0", "1")
    ]


def summary(name: str, shown: str) -> str:
    """What is to be said of an output, which has an alert."""
    rows = table(shown)
    first, *more = starts(rows)
    alerts = f"{1 + len(more)} alerts" if more else "1 alert"
    return f"{name}: {len(rows):,} rows, {alerts}, the first at {first}"


def test_a_file_to_standard_output(folder: Path) -> None:
    ran = run("--input", "cpu.csv")
    assert ran.exit_code == 0
    rows = table(ran.stdout)
    given = list(csv.DictReader(io.StringIO((folder / "cpu.csv").read_text())))
    assert [(r["timestamp"], r["value"]) for r in rows] == [
        (r["timestamp"], r["value"]) for r in given
    ]
    assert "1" in [row["alert"] for row in rows[900:906]]
    assert all(0 <= float(r["score"]) <= 1 and 0 <= float(r["probability"]) <= 1 for r in rows)
    assert ran.stderr == summary("cpu.csv", ran.stdout) + "\n"


def test_a_file_to_a_file_a_directory_and_a_pipe_says_the_same(folder: Path) -> None:
    shown = run("--input", "cpu.csv").stdout
    Path("out").mkdir()
    assert run("--input", "cpu.csv", "--output", "scored.csv", "--quiet").output == ""
    run("--input", "cpu.csv", "--output", "out")
    run("--input", "cpu.csv", "--output", "new/place.csv")
    piped = run("--input", "-", stdin=(folder / "cpu.csv").read_text())
    assert piped.stdout == run("--input", "-", "--output", "-", stdin=series()).stdout == shown
    for name in ("scored.csv", "out/cpu.csv", "new/place.csv"):
        assert Path(name).read_text() == shown
    assert piped.stderr == summary("standard input", shown) + "\n"


def test_more_false_alarms_are_more_alerts() -> None:
    few = run("--input", "-", "--false-alarms", "1 per year", stdin=series(1400))
    many = run("--input", "-", "--false-alarms", "2 per hour", stdin=series(1400))
    assert len(starts(table(many.stdout))) > len(starts(table(few.stdout))) > 0


def test_what_is_peculiar_is_told(folder: Path) -> None:
    (folder / "odd.csv").write_text(
        "time;value\n60;1\n120;\n120;inf\n90;2\n180;NaN\n".replace("\n", "\r\n")
    )
    ran = run("--input", "odd.csv")
    assert (ran.exit_code, ran.stdout.count("\n")) == (0, 6)
    assert ran.stderr.splitlines() == [
        "odd.csv: 5 rows, 0 alerts",
        "odd.csv: note: too short to be judged: the detector was still learning at its end",
        "odd.csv: note: 2 rows without a value, taken as missing readings",
        "odd.csv: note: 1 row with an infinite value",
        "odd.csv: note: 1 row with the time of the row before, judged as further readings of that moment",
        "odd.csv: note: it may hold more than one series; split it",
        "odd.csv: note: 1 row older than a row before, judged in the order of the file; sort it by time",
    ]


def test_a_header_alone(folder: Path) -> None:
    (folder / "none.csv").write_text("timestamp,value\n")
    ran = run("--input", "none.csv", "--plot", "none.png")
    assert (ran.exit_code, ran.stdout) == (0, HEADER)
    assert ran.stderr == "none.csv: 0 rows, 0 alerts\nnone.csv: note: no rows below the header\n"
    assert not (folder / "none.png").exists()


def test_a_pipe_is_answered_row_by_row() -> None:
    """As behind `tail -f`: what a row says is there before the next one comes."""
    with subprocess.Popen(
        [BURNLINE, "detect", "--input", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("timestamp,value\n")
        assert process.stdout.readline() == HEADER
        for number in range(5):
            process.stdin.write(f"{number},2.5\n")
            assert process.stdout.readline().startswith(f"{number},2.5,")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        said = process.stderr.read()
    assert said.startswith("standard input: 5 rows, 0 alerts\n")
    assert "Traceback" not in said


def test_a_reader_that_goes_ends_it_quietly() -> None:
    rows = "".join(f"{number},2.5\n" for number in range(20_000))
    with subprocess.Popen(
        [BURNLINE, "detect", "--input", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("timestamp,value\n1,2\n")
        process.stdin.flush()
        assert process.stdout.readline() == HEADER
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(rows)
            process.stdin.close()
        said = process.stderr.read()
        assert process.wait(60) == 1
    assert said == ""


def test_a_directory_is_mirrored(folder: Path) -> None:
    for name in ("in/a.csv", "in/b/c.csv", "in/b/D.CSV"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(series(seed=len(name)))
    (folder / "in/notes.txt").write_text("no series\n")
    ran = run("--input", "in", "--output", "out", "--plot", "pictures", "--jobs", "2")
    assert (ran.exit_code, ran.stdout) == (0, "")
    written = sorted(str(p) for d in ("out", "pictures") for p in Path(d).rglob("*") if p.is_file())
    assert written == [
        *("out/a.csv", "out/b/D.CSV", "out/b/c.csv"),
        *("pictures/a.png", "pictures/b/D.png", "pictures/b/c.png"),
    ]
    for path in Path("out").rglob("*.[cC]*"):
        source = Path("in") / path.relative_to("out")
        assert path.read_text() == run("--input", str(source)).stdout
    head, *lines, end = ran.stderr.splitlines()
    assert head.split() == ["file", "rows", "alerts", "first", "alert"]
    assert [line.split() for line in lines] == [
        [
            str(path.relative_to("out")),
            *("1,000", str(len(starts(rows))), starts(rows)[0]),
        ]
        for path, rows in ((p, table(p.read_text())) for p in map(Path, written[:3]))
    ]
    alerts = sum(int(line.split()[2]) for line in lines)
    assert end.startswith(f"3 files, 3,000 rows, {alerts} alerts in ")
    assert run("--input", "in", "--quiet").output == ""


def test_a_bad_file_does_not_stop_the_others(folder: Path) -> None:
    Path("in").mkdir()
    for name in "abc":
        (folder / f"in/{name}.csv").write_text(series())
    (folder / "in/b.csv").write_text(series(10) + "2026-03-02T00:00:00Z,high\n")
    (folder / "in/empty.csv").write_text("")
    ran = run("--input", "in", "--output", "out", "--jobs", "2")
    assert ran.exit_code == 1
    assert Path("out/a.csv").read_text() == Path("out/c.csv").read_text()
    assert len(Path("out/b.csv").read_text().splitlines()) == 11
    assert not Path("out/empty.csv").exists()
    (line,) = (line for line in ran.stderr.splitlines() if line.startswith("b.csv"))
    assert line.split(maxsplit=3)[1:] == ["10", "0", "not read to its end"]
    assert ran.stderr.splitlines()[-2:] == [
        "burnline: in/b.csv:12: 'high' is no number; write one, or nothing where a reading is missing",
        "burnline: in/empty.csv: empty; the first line names the columns: timestamp,value",
    ]
    quiet = run("--input", "in", "--quiet")
    assert (quiet.exit_code, quiet.stderr.count("\n")) == (1, 2)


def test_a_process_that_is_killed_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").mkdir()
    (folder / "in/a.csv").write_text(series())

    def killed(job: Job, *_: object) -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(job)

    monkeypatch.setattr(processes, "one", killed)
    ran = run("--input", "in")
    assert ran.exit_code == 1
    assert ran.stderr.splitlines()[-1] == (
        "burnline: in/a.csv: a process that judged was ended from outside; try again with fewer --jobs"
    )


def test_pictures(folder: Path) -> None:
    Path("pictures").mkdir()
    for picture in ("cpu.png", "cpu.svg", "pictures", "new/cpu.PNG"):
        assert run("--input", "cpu.csv", "--output", "o.csv", "--plot", picture).exit_code == 0
    assert Path("cpu.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "cpu.svg").read_text()
    assert Path("pictures/cpu.png").exists()
    assert Path("new/cpu.PNG").read_bytes().startswith(b"\x89PNG")


def test_pictures_need_matplotlib_and_nothing_else_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; from dataflows.cli import main\n"
        "try: main(['detect', '--input', 'cpu.csv', '--quiet'])\n"
        "finally: assert 'matplotlib' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=folder, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    monkeypatch.setattr("dataflows.detect.command.find_spec", lambda _: None)
    without = run("--input", "cpu.csv", "--plot", "cpu.png")
    assert (without.exit_code, without.stdout, without.stderr) == (
        1,
        "",
        "burnline: pictures need matplotlib; install it with: pip install 'burnline[plot]'\n",
    )


# The arguments, the exit code, and the last line of standard error.
WRONG = [
    ("--input none.csv", 1, "burnline: none.csv: no such file or directory; check the path"),
    ("--input bare", 1, "burnline: bare: no *.csv in it or below; check the path"),
    (
        "--input cpu.csv --output cpu.csv",
        1,
        "burnline: cpu.csv: would be written over while it is read; name another",
    ),
    (
        "--input cpu.csv --output ./full/../cpu.csv",
        1,
        "burnline: full/../cpu.csv: would be written over while it is read; name another",
    ),
    (
        "--input cpu.csv --output link.csv",
        1,
        "burnline: link.csv: would be written over while it is read; name another",
    ),
    (
        "--input full --output full",
        1,
        "burnline: full: inside full, so it would be read next time; name another",
    ),
    (
        "--input full --output full/out",
        1,
        "burnline: full/out: inside full, so it would be read next time; name another",
    ),
    (
        "--input full/x --output full",
        1,
        "burnline: full/x/b.csv: would be written over while it is read; name another",
    ),
    (
        "--input full --output cpu.csv",
        1,
        "burnline: cpu.csv: a file, but full is a directory; name a directory",
    ),
    (
        "--input full --output -",
        1,
        "burnline: full: many files have no place on standard output; name a directory",
    ),
    (
        "--input full --plot all.png",
        1,
        "burnline: all.png: full is a directory; name a directory for its pictures",
    ),
    (
        "--input cpu.csv --plot cpu.pdf",
        1,
        "burnline: cpu.pdf: no picture that can be made; write .png or .svg",
    ),
    (
        "--input cpu.csv --output /dev/full",
        1,
        "burnline: /dev/full: No space left on device; check the path, its rights and the disk",
    ),
    (
        "--input cpu.csv --output cpu.csv/x.csv",
        1,
        "burnline: cpu.csv: File exists; check the path, its rights and the disk",
    ),
    (
        "--input cpu.csv --output /proc/nothing/x.csv",
        1,
        "burnline: /proc/nothing: No such file or directory; check the path, its rights and the disk",
    ),
    (
        "--input cpu.csv --value-column p99",
        1,
        (
            "burnline: cpu.csv:1: no column p99 among timestamp, value; "
            "rename one, or name it with --value-column"
        ),
    ),
    (
        "--input text.csv",
        1,
        "burnline: text.csv:3: 'high' is no number; write one, or nothing where a reading is missing",
    ),
    (
        "--input cpu.csv --false-alarm 1/d",
        2,
        "Error: No such option '--false-alarm'. Did you mean '--false-alarms'?",
    ),
    ("", 2, "Error: Missing option '--input'."),
    ("cpu.csv", 2, None),
    (
        "--input cpu.csv --false-alarms weekly",
        2,
        (
            "Error: Invalid value for '--false-alarms': 'weekly' is no rate; "
            "write how many in what time, such as 1 per week, 2/day, 0.5/h or 1 per 30d"
        ),
    ),
    (
        "--input cpu.csv --every often",
        2,
        (
            "Error: Invalid value for '--every': 'often' is no duration; "
            "write whole units, such as 30s, 5m, 6h, 30d or 4w"
        ),
    ),
    (
        "--input cpu.csv --jobs 0",
        2,
        "Error: Invalid value for '--jobs': 0 is not in the range x>=1.",
    ),
]


@pytest.mark.parametrize(("arguments", "code", "says"), WRONG, ids=[case[0] for case in WRONG])
def test_mistakes(folder: Path, arguments: str, code: int, says: str | None) -> None:
    for name in ("bare", "full/x/x"):
        Path(name).mkdir(parents=True)
    for name in ("full/a.csv", "full/x/b.csv", "full/x/x/b.csv"):
        (folder / name).write_text(series())
    (folder / "text.csv").write_text("timestamp,value\n1,2\n2,high\n")
    (folder / "link.csv").symlink_to("cpu.csv")
    before = (folder / "cpu.csv").read_text()
    ran = run(*arguments.split())
    assert (ran.exit_code, "Traceback" in ran.stderr) == (code, False), ran.output
    if says:
        assert ran.stderr.splitlines()[-1] == says
    assert (folder / "cpu.csv").read_text() == before
