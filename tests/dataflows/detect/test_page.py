"""docs/detect.md: what it shows can be typed, and says what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs" / "detect.md").read_text()


def test_the_page(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("timestamp,value\n1,2\n2,3\n3,high\n")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    generator, pipe = (text for language, text in fences if language == "sh")
    shell(tmp_path, generator)
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "cpu.csv").write_text((tmp_path / "cpu.csv").read_text())
    blocks = [text for language, text in fences if not language]
    assert len(blocks) == 6
    for block in blocks:
        if block.startswith("$ "):
            command, shown = block.removeprefix("$ ").split("\n", 1)
            assert shell(tmp_path, command, check=False) == shown
        else:
            shell(tmp_path, f"set -e\n{block}")
    scored = (tmp_path / "scored.csv").read_text()
    assert (tmp_path / "scored" / "cpu.csv").read_text().count("\n") == scored.count("\n") == 2017
    assert (tmp_path / "cpu.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "pictures" / "cpu.png").read_bytes()[1:4] == b"PNG"
    for column in scored.split("\n", 1)[0].split(","):
        assert f"`{column}`" in PAGE
    # What is followed never ends; what is there is read to its end here.
    alerts = shell(tmp_path, pipe.replace(" -f ", " "), what="stdout")
    assert [line.split(",")[0] for line in alerts.splitlines()] == [
        line.split(",")[0] for line in scored.splitlines() if line.endswith(",1")
    ]
    stuck = [f"2026-03-13T14:{minute}0:00Z" for minute in range(6)]
    for name in ("scored.csv", "rare.csv"):
        rows = (tmp_path / name).read_text().splitlines()
        told = [line.split(",")[0] for line in rows if line.endswith(",1")]
        assert set(stuck) <= set(told)
    assert told[0] == stuck[0]


def shell(folder: Path, script: str, what: str = "stderr", *, check: bool = True) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=check,
    )
    text: str = getattr(ran, what)
    return text
