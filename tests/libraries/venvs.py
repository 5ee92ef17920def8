"""A venv in `.libraries/` for each library, for their requirements contradict each other.

`python -m tests.libraries.venvs` builds them.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
VENVS = ROOT / ".libraries"


def libraries() -> list[str]:
    """Those with pinned requirements, Burnline's own among them."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def python(name: str) -> Path:
    """The interpreter of a library's venv."""
    return VENVS / name / "bin" / "python"


def is_built(name: str) -> bool:
    """Whether a library's venv holds what is pinned."""
    stamp = VENVS / name / ".built"
    return stamp.exists() and stamp.read_text() == _pins(name)


def build(name: str) -> None:
    """Build a library's venv, if it is not there yet."""
    if is_built(name):
        return
    print(f"building .libraries/{name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENVS / name], check=True)
    # The pins are whole, and pip would refuse OpenLIT's: it asks for packages of versions that never met.
    pip = [python(name), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "-r", REQUIREMENTS / f"{name}.txt"], check=True)
    if name == "burnline":
        subprocess.run([*pip, "-e", ROOT / "instrumentation"], check=True)
    (VENVS / name / ".built").write_text(_pins(name))


def _pins(name: str) -> str:
    return sha256((REQUIREMENTS / f"{name}.txt").read_bytes()).hexdigest()


if __name__ == "__main__":
    for each in sys.argv[1:] or libraries():
        build(each)
