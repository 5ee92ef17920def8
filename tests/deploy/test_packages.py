"""What an image installs is what the repository has: an editable install does not notice what is left out."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("folder", "tops"),
    [
        (ROOT, ("detectors", "slo", "engine", "dataflows")),
        (ROOT / "instrumentation", ("burnline_llm",)),
    ],
    ids=["burnline", "burnline-llm"],
)
def test_every_package_and_its_data_are_listed(folder: Path, tops: tuple[str, ...]) -> None:
    said = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = [
        path
        for top in tops
        for path in (folder / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    packages = {_dotted(folder, path) for path in files if path.suffix == ".py"}
    assert packages == set(said["packages"])
    left_out = [
        path
        for path in files
        if path.suffix not in (".py", ".pyi") and not _shipped(folder, path, said["package-data"])
    ]
    assert left_out == []


def _dotted(folder: Path, path: Path) -> str:
    return ".".join(path.parent.relative_to(folder).parts)


def _shipped(folder: Path, path: Path, data: dict[str, list[str]]) -> bool:
    """Whether a file is data of the package that it is in, or of one above it."""
    return any(
        path in (folder / Path(*package.split("."))).glob(pattern)
        for package, patterns in data.items()
        for pattern in patterns
    )
