"""A river anomaly detector by its name and parameters, as a user writes it in YAML.

A name is looked up in a fixed list of classes; nothing that a user writes is imported, run or looked for
on an object. In the list are the modules whose classes an anomaly detector is made of: itself, what scales
its features, what it forecasts with, and their parts. `river.drift`, `river.tree` and text processing are
not among them, nor is anything that takes a function.
"""

import difflib
import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from river import (
    anomaly,
    base,
    compose,
    linear_model,
    neighbors,
    optim,
    preprocessing,
    proba,
    stats,
    time_series,
)

from detectors.adapter import Adapter
from detectors.conformal import Conformal
from detectors.evt import DSPOT
from detectors.forecast import RobustForecast
from detectors.parameters import Unusable, checked, listed, plain, shown
from detectors.rarity import Rarity
from detectors.season import Season
from detectors.tails import Tails

_MODULES = (
    anomaly,
    preprocessing,
    time_series,
    linear_model,
    neighbors,
    stats,
    proba,
    optim,
    optim.losses,
    optim.schedulers,
    optim.initializers,
)
# Of text, of categories, or of other statistics: of no use here.
_LEFT_OUT = {"FeatureHasher", "GapEncoder", "LDA", "OneHotEncoder", "OrdinalEncoder", "Link"}
_OWN = (Conformal, DSPOT, Rarity, RobustForecast, Season, Tails)
_ROOMS = ("river.", "burnline.")
_DEEPEST = 8
_MOST_NODES = 1_000_000
_DETECTORS = (base.AnomalyDetector, base.SupervisedAnomalyDetector)


def check(name: object, parameters: object = None) -> str | None:
    """The problem with a detector as it is named, for people; None if there is none.

    Args:
        name: of a class, or of the steps of a pipeline with ` | ` between them.
        parameters: keyword arguments; of a pipeline those of each step under its name.

    >>> check("river.anomaly.HalfSpaceTree")
    'there is no `river.anomaly.HalfSpaceTree`; did you mean `river.anomaly.HalfSpaceTrees`?'
    >>> check("river.anomaly.HalfSpaceTrees", {"trees": 20}).split(";")[0]
    '`river.anomaly.HalfSpaceTrees` has no parameter `trees`'
    >>> check("river.preprocessing.MinMaxScaler | river.anomaly.HalfSpaceTrees")
    """
    try:
        detector = make(name, parameters)
    except Unusable as problem:
        return str(problem)
    return _on_trial(detector, shown(name))


def make(name: object, parameters: object = None) -> base.Estimator:
    """A river anomaly detector, fresh.

    Args:
        name: as of `check`.
        parameters: likewise.

    Raises:
        Unusable: with the problem, for people.

    >>> make("river.anomaly.HalfSpaceTrees", {"n_trees": 5, "seed": 1}).n_trees
    5
    """
    made = _made(name, {} if parameters is None else parameters, _DEEPEST)
    last = list(made.steps.values())[-1] if isinstance(made, compose.Pipeline) else made
    if not isinstance(last, (*_DETECTORS, base.AnomalyFilter)):
        raise Unusable(
            f"`{shown(name)}` detects no anomalies; name one of {listed(_detectors())}, "
            "alone or at the end of a pipeline (`a | b`)"
        )
    return made


@functools.cache
def _known() -> dict[str, Any]:
    """Every class that may be named."""
    found: dict[str, Any] = {
        f"{module.__name__}.{name}": getattr(module, name, None)
        for module in _MODULES
        for name in module.__all__
        if name not in _LEFT_OUT
    }
    found |= {f"burnline.{kind.__name__}": kind for kind in _OWN}
    return {name: kind for name, kind in found.items() if _can_be_made(kind)}


def _can_be_made(kind: object) -> bool:
    if not inspect.isclass(kind) or inspect.isabstract(kind):
        return False
    return all(p.kind is not p.VAR_POSITIONAL for p in inspect.signature(kind).parameters.values())


def _detectors() -> list[str]:
    return [name for name, kind in _known().items() if issubclass(kind, _DETECTORS)]


def _made(name: object, parameters: object, deep: int) -> base.Estimator:
    if deep < 1:
        raise Unusable(f"`{shown(name)}` is nested too deep; at most {_DEEPEST} levels")
    if not isinstance(name, str):
        raise Unusable(
            f"a detector is named by text such as `river.anomaly.HalfSpaceTrees`, not {shown(name)}"
        )
    if not isinstance(parameters, Mapping):
        raise Unusable(
            f"the parameters of `{shown(name)}` must be names with values, not {shown(parameters)}"
        )
    steps = [step.strip() for step in name.split("|")]
    if len(steps) == 1:
        return _instance(steps[0], parameters, deep)
    odd = [key for key in parameters if key not in steps]
    if odd:
        raise Unusable(
            f"the parameters of a pipeline stand under its steps' names ({listed(steps)}), "
            f"not under {listed(odd)}"
        )
    return _piped([_made(step, parameters.get(step) or {}, deep - 1) for step in steps])


def _piped(steps: list[base.Estimator]) -> base.Estimator:
    for step in steps[:-1]:
        if not isinstance(step, base.Transformer):
            raise Unusable(
                f"`{type(step).__name__}` can only be the last step of a pipeline; before it stands "
                "what changes features, such as `river.preprocessing.StandardScaler`"
            )
    try:
        return compose.Pipeline(*steps)
    except (TypeError, ValueError) as problem:
        raise Unusable(f"these steps make no pipeline: {problem}") from problem


def _instance(name: str, parameters: Mapping[Any, Any], deep: int) -> base.Estimator:
    kind = _known().get(name)
    if kind is None:
        raise Unusable(_no_such(name))
    signature = inspect.signature(kind).parameters
    odd = [key for key in parameters if key not in signature]
    if odd:
        valid = listed(list(signature)) or "none"
        raise Unusable(f"`{name}` has no parameter {listed(odd)}; valid are {valid}")
    missing = [
        key for key, p in signature.items() if p.default is p.empty and key not in parameters
    ]
    if missing:
        raise Unusable(f"`{name}` needs {listed(missing)}")
    values: dict[str, Any] = {
        key: checked(f"`{key}` of `{name}`", signature[key], _nested(value, deep))
        for key, value in parameters.items()
    }
    nodes = int(values.get("n_trees", 1)) * 2 ** int(values.get("height", 1))
    if nodes > _MOST_NODES:
        raise Unusable(
            f"`{name}` would have {nodes} nodes, of at most {_MOST_NODES}; lower `height` or `n_trees`"
        )
    try:
        return kind(**values)  # type: ignore[no-any-return]
    except Exception as problem:  # river's classes refuse values each in its own way
        raise Unusable(f"`{name}` does not take these parameters: {problem}") from problem


def _no_such(name: str) -> str:
    by_class = {known.rpartition(".")[2]: known for known in _known()}
    short = shown(name)
    near = difflib.get_close_matches(short, list(_known()), 1, 0.75)
    for bare in difflib.get_close_matches(short.rpartition(".")[2], list(by_class), 1, 0.75):
        near = near or [by_class[bare]]
    if near:
        return f"there is no `{short}`; did you mean `{near[0]}`?"
    return f"there is no `{short}`; detectors are {listed(_detectors())}"


def _nested(value: object, deep: int) -> object:
    """A parameter's value, the estimators in it made."""
    if isinstance(value, str) and value.startswith(_ROOMS):
        return _made(value, {}, deep - 1)
    if isinstance(value, Mapping):
        key = next(iter(value), None)
        if len(value) == 1 and isinstance(key, str) and key.startswith(_ROOMS):
            return _made(key, value[key] or {}, deep - 1)
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and deep > 1:
        parts = [_nested(part, deep - 1) for part in value]
        if parts and all(isinstance(part, base.Estimator) for part in parts):
            return _piped([part for part in parts if isinstance(part, base.Estimator)])
    return plain(value)


def _on_trial(detector: base.Estimator, name: str) -> str | None:
    """What goes wrong when it judges a few readings."""
    adapter = Adapter(detector)
    try:
        for number in range(4):
            adapter.score({"value": float(number)}, 60.0 * number)
            adapter.learn({"value": float(number)}, 60.0 * number)
    except Exception as problem:  # noqa: BLE001 - of wrong parts a detector raises whatever it likes
        return (
            f"`{name}` cannot judge a reading with these parameters "
            f"({type(problem).__name__}: {problem}); give each an estimator of the kind it needs"
        )
    return None
