"""Detectors by name: what is made, what is refused, and that nothing else happens."""

import builtins
import importlib
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from river import anomaly, base, compose, preprocessing, time_series

from detectors import named
from detectors.calibrated import Calibrated
from detectors.forecast import RobustForecast

HST = "river.anomaly.HalfSpaceTrees"

GOOD = {
    "plain": (HST, {}),
    "with parameters": (HST, {"n_trees": 25, "height": 6, "seed": 42}),
    "with limits": (HST, {"limits": {"gen_ai.usage.total_tokens": [0, 5000]}}),
    "a pipeline": (f"river.preprocessing.StandardScaler | {HST}", {}),
    "its steps' parameters": (
        "river.preprocessing.StandardScaler | river.anomaly.OneClassSVM",
        {"river.anomaly.OneClassSVM": {"nu": 0.2}},
    ),
    "an estimator in it": (
        "river.anomaly.OneClassSVM",
        {"optimizer": {"river.optim.SGD": {"lr": 0.05}}},
    ),
    "one by its name alone": (
        "river.anomaly.StandardAbsoluteDeviation",
        {"sub_stat": "river.stats.Mean"},
    ),
    "a forecaster": (
        "river.anomaly.PredictiveAnomalyDetection",
        {"predictive_model": {"river.time_series.HoltWinters": {"alpha": 0.3, "beta": 0.1}}},
    ),
    "our own forecaster": (
        "river.anomaly.PredictiveAnomalyDetection",
        {"predictive_model": "burnline.RobustForecast"},
    ),
    "a list of steps": (
        "river.anomaly.QuantileFilter",
        {
            "anomaly_detector": [{"river.preprocessing.MinMaxScaler": {}}, {HST: {"seed": 1}}],
            "q": 0.95,
        },
    ),
    "a pipeline as a value": (
        "river.anomaly.ThresholdFilter",
        {"anomaly_detector": f"river.preprocessing.MinMaxScaler | {HST}", "threshold": 0.9},
    ),
    "our own": ("burnline.DSPOT", {"level": 0.95}),
    "neighbours": (
        "river.anomaly.LocalOutlierFactor",
        {"engine": {"river.neighbors.LazySearch": {"window_size": 50}}},
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_is_made(case: str) -> None:
    name, parameters = GOOD[case]
    assert named.check(name, parameters) is None
    detector = Calibrated(named.make(name, parameters))
    for number in range(5):
        detector.observe(number, {"value": float(number)})
    assert detector.failures == 0


def test_parameters_arrive() -> None:
    made = named.make(*GOOD["its steps' parameters"])
    assert isinstance(made, compose.Pipeline)
    assert isinstance(made["StandardScaler"], preprocessing.StandardScaler)
    assert made["OneClassSVM"].nu == 0.2
    assert named.make(*GOOD["with limits"]).limits["gen_ai.usage.total_tokens"] == (0, 5000)
    model = named.make(*GOOD["a forecaster"]).predictive_model
    assert isinstance(model, time_series.HoltWinters)
    assert (model.alpha, model.beta) == (0.3, 0.1)
    assert isinstance(named.make(*GOOD["our own forecaster"]).predictive_model, RobustForecast)


def test_all_of_rivers_detectors_can_be_named() -> None:
    needed: dict[str, dict[str, Any]] = {
        "QuantileFilter": {"anomaly_detector": HST, "q": 0.9},
        "ThresholdFilter": {"anomaly_detector": HST, "threshold": 0.9},
    }
    for name in anomaly.__all__:
        assert named.check(f"river.anomaly.{name}", needed.get(name)) is None


def test_each_is_made_anew() -> None:
    assert named.make(HST) is not named.make(HST)


BAD = {
    "a slip": ("river.anomaly.HalfSpaceTree", {}, "did you mean `river.anomaly.HalfSpaceTrees`?"),
    "no module": ("HalfSpaceTrees", {}, "did you mean `river.anomaly.HalfSpaceTrees`?"),
    "another case": ("river.anomaly.halfspacetrees", {}, "there is no"),
    "nothing like it": ("os.system", {}, "there is no `os.system`; detectors are"),
    "a function": ("river.anomaly.base", {}, "there is no"),
    "private": ("river.anomaly.HalfSpaceTrees.__init__", {}, "there is no"),
    "empty": ("", {}, "there is no"),
    "no text": (7, {}, "a detector is named by text"),
    "a list": ([HST], {}, "a detector is named by text"),
    "no detector": ("river.preprocessing.StandardScaler", {}, "detects no anomalies"),
    "a forecaster": ("burnline.RobustForecast", {}, "detects no anomalies"),
    "wrong order": (f"{HST} | river.preprocessing.StandardScaler", {}, "only be the last step"),
    "wrong parameter": (
        HST,
        {"trees": 3},
        "has no parameter `trees`; valid are `n_trees`, `height`",
    ),
    "parameters of no step": (
        f"river.preprocessing.StandardScaler | {HST}",
        {"n_trees": 3},
        "stand under its steps' names",
    ),
    "parameters are no mapping": (HST, [1], "must be names with values"),
    "text for a number": (
        HST,
        {"n_trees": "many"},
        "`n_trees` of `river.anomaly.HalfSpaceTrees` must be a whole number, not many",
    ),
    "true for a number": (HST, {"n_trees": True}, "must be a whole number"),
    "a fraction": (HST, {"height": 2.5}, "must be a whole number, not 2.5"),
    "not finite": ("river.anomaly.OneClassSVM", {"nu": float("nan")}, "must be finite"),
    "negative": (HST, {"n_trees": -1}, "must be from 0 to 1000"),
    "huge": (HST, {"height": 60}, "must be from 0 to 15"),
    "huge in all": (HST, {"height": 15, "n_trees": 1000}, "lower `height` or `n_trees`"),
    "missing": ("river.anomaly.QuantileFilter", {"q": 0.9}, "needs `anomaly_detector`"),
    "number for an estimator": (
        "river.anomaly.OneClassSVM",
        {"optimizer": 0.1},
        "must be an estimator or null, such as `{river.preprocessing.MinMaxScaler: {}}`, not 0.1",
    ),
    "nested slip": (
        "river.anomaly.OneClassSVM",
        {"optimizer": {"river.optim.SDG": {}}},
        "did you mean `river.optim.SGD`?",
    ),
    "nested wrong parameter": (
        "river.anomaly.OneClassSVM",
        {"optimizer": {"river.optim.SGD": {"rate": 1}}},
        "`river.optim.SGD` has no parameter `rate`; valid are `lr`",
    ),
    "estimator of the wrong kind": (
        "river.anomaly.OneClassSVM",
        {"optimizer": "river.preprocessing.StandardScaler"},
        "cannot judge a reading with these parameters",
    ),
    "bytes": (HST, {"limits": b"x"}, "a value must be a number, text"),
    "deep": (HST, {"limits": [[[[[[[[[[1]]]]]]]]]]}, "a value must be"),
    "refused by river": (
        "river.anomaly.PredictiveAnomalyDetection",
        {"predictive_model": {"river.time_series.HoltWinters": {"alpha": 0.3, "gamma": 0.1}}},
        "does not take these parameters: beta must be set if gamma is set",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused(case: str) -> None:
    name, parameters, text = BAD[case]
    problem = named.check(name, parameters)
    assert problem is not None
    assert text in problem
    assert len(problem) < 1500
    if "cannot judge" not in text:
        with pytest.raises(named.Unusable) as raised:
            named.make(name, parameters)
        assert str(raised.value) == problem


def test_nesting_has_an_end() -> None:
    value: Any = HST
    for _ in range(1_000):
        value = {"river.anomaly.QuantileFilter": {"anomaly_detector": value, "q": 0.5}}
    problem = named.check("river.anomaly.QuantileFilter", {"anomaly_detector": value, "q": 0.5})
    assert problem is not None
    assert "nested too deep" in problem


def test_yaml_as_in_the_documentation() -> None:
    text = """
    detector: river.preprocessing.StandardScaler | river.anomaly.OneClassSVM
    parameters:
      river.anomaly.OneClassSVM:
        nu: 0.2
        optimizer: {river.optim.SGD: {lr: 0.05}}
    """
    read = yaml.safe_load(text)
    assert named.check(read["detector"], read["parameters"]) is None


WORDS = st.sampled_from(
    [
        HST,
        "river.anomaly",
        "river.optim.SGD",
        "river.preprocessing.StandardScaler",
        "river.compose.FuncTransformer",
        "river.utils.Rolling",
        "os.system",
        "builtins.eval",
        "__import__('os')",
        "subprocess.Popen",
        "river.anomaly.__builtins__",
        "river.anomaly.HalfSpaceTrees.__globals__",
        "river.checks.common.pickle.loads",
        " | ",
        "n_trees",
        "optimizer",
        "__class__",
        "",
    ]
)
TEXTS = st.one_of(WORDS, st.text(max_size=30), st.tuples(WORDS, WORDS).map(" | ".join))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(TEXTS, st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


@given(name=VALUES, parameters=VALUES)
@settings(max_examples=120, deadline=None)
def test_no_input_does_anything_else(name: object, parameters: object) -> None:
    """It makes a detector or says why not: nothing is imported, evaluated, compiled or opened."""
    named.check(HST)  # what is imported for the first time by the code itself, is by now
    forbidden = {"eval", "exec", "compile", "open", "input", "__import__"}
    called: list[str] = []

    def forbid(word: str) -> Any:
        def refused(*_: object, **__: object) -> None:
            called.append(word)
            raise AssertionError(word)

        return refused

    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patched:
        for word in forbidden - {"__import__"}:
            patched.setattr(builtins, word, forbid(word))
        patched.setattr(importlib, "import_module", forbid("import_module"))
        problem = named.check(name, parameters)
        try:
            made = named.make(name, parameters)
        except named.Unusable:
            made = None
    assert called == []
    assert set(sys.modules) == before
    assert problem or isinstance(made, base.Estimator)
