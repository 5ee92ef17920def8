"""River's own battery over every estimator here, as its own tests run it."""

import pytest
from river import base

from tests.detectors.estimators import kinds, made_all, river_checks

CASES = [
    pytest.param(estimator, check, id=f"{name}:{check.__name__}")
    for name, estimator in made_all()
    for check in river_checks(estimator)
]


def test_every_estimator_is_found() -> None:
    assert {kind.__name__ for kind in kinds()} >= {
        "Alarms",
        "Calibrated",
        "Conformal",
        "DSPOT",
        "Episodes",
        "Detector",
        "Novelty",
        "Rarity",
        "RobustForecast",
        "Season",
        "Tails",
        "Together",
    }


@pytest.mark.parametrize(("estimator", "check"), CASES)
def test_check(estimator: base.Estimator, check) -> None:
    if check.__name__ not in estimator._unit_test_skips():
        check(estimator.clone())
