"""The examples of docs/detectors.md do what is written there, one after the other."""

import doctest
import re
from pathlib import Path

import yaml

from detectors import named

PAGE = (Path(__file__).parents[2] / "docs" / "detectors.md").read_text()


def test_examples() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 4
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "detectors.md", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_detectors_in_yaml_can_be_made() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 2
    for block in blocks:
        read = yaml.safe_load(block)
        assert named.check(read["detector"], read["parameters"]) is None


def test_every_part_is_on_the_page() -> None:
    for name in (
        "Calibrated",
        "Together",
        "DSPOT",
        "Conformal",
        "Tails",
        "RobustForecast",
        "Episodes",
        "Rarity",
        "Novelty",
        "Season",
        "Alarms",
    ):
        assert f".{name}`" in PAGE
