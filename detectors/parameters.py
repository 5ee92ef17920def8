"""A parameter of a detector as a user writes it: what kind of value it must be, and how large it may be."""

import inspect
import math
from collections.abc import Mapping, Sequence

from river import base

_LONGEST = 120
_EXAMPLE = "{river.preprocessing.MinMaxScaler: {}}"
_MOST = {
    "height": 15,
    "n_trees": 1_000,
    "n_random_cuts": 10_000,
    "n_bins": 10_000,
    "n_neighbors": 1_000,
    "n_components": 1_000,
    "window_size": 1_000_000,
    "seasonality": 100_000,
    "horizon": 10_000,
    "lag": 100_000,
    "amount": 100_000,
    "peaks": 100_000,
    **dict.fromkeys(("p", "q", "m", "sp", "sq"), 2_000),
    **dict.fromkeys(("d", "sd"), 10),
}
_NUMBER = {"a number", "a whole number"}
_WORDS = {
    "int": {"a whole number"},
    "float": _NUMBER,
    "bool": {"true or false"},
    "str": {"text"},
    "None": {"null"},
    "dict": {"names with values"},
    "tuple": {"a list"},
    "list": {"a list"},
}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),  # before int, which it is too
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (dict, "names with values"),
    (tuple, "a list"),
    (type(None), "null"),
    (base.Base, "an estimator"),
)


class Unusable(ValueError):  # noqa: N818 - says what the detector is
    """A detector cannot be made as it is named; the text says why and what to write."""


def plain(value: object) -> object:
    """A value that is no estimator, lists as tuples.

    Raises:
        Unusable: it is of a kind that no parameter takes.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if (
        isinstance(value, Sequence)
        and not isinstance(value, bytes)
        and all(isinstance(part, bool | int | float | str) for part in value)
    ):
        return tuple(value)
    raise Unusable(
        "a value must be a number, text, true or false, a list of those, or an estimator such as "
        f"`{_EXAMPLE}`, not {shown(value)}"
    )


def checked(place: str, parameter: inspect.Parameter, made: object) -> object:
    """A parameter's value if its signature allows it.

    Args:
        place: for the problem's text.
        parameter: from the signature.
        made: the value, estimators in it made.

    Raises:
        Unusable: it is of another kind, not finite, or too large.
    """
    kinds = _kinds(parameter)
    if kinds and _kind(made) not in kinds:
        example = f", such as `{_EXAMPLE}`" if kinds == {"an estimator", "null"} else ""
        raise Unusable(f"{place} must be {' or '.join(sorted(kinds))}{example}, not {shown(made)}")
    if isinstance(made, float) and not math.isfinite(made):
        raise Unusable(f"{place} must be finite, not {made}")
    most = _MOST.get(parameter.name, 2**53)
    least = 0 if parameter.name in _MOST else -most
    if isinstance(made, int) and not least <= made <= most:
        raise Unusable(f"{place} must be from {least} to {most}, not {shown(made)}")
    return made


def _kinds(parameter: inspect.Parameter) -> set[str]:
    """Kinds of value that a parameter takes, in words; empty for any."""
    annotation, default = parameter.annotation, parameter.default
    if annotation is parameter.empty:
        if default is parameter.empty:
            return set()
        if default is None:
            return _WORDS["None"] | _NUMBER
        return _WORDS.get(type(default).__name__, set())
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    kinds: set[str] = set()
    for word in _outer(text).split("|"):
        kinds |= _WORDS.get(word.strip(), {"an estimator"})
    return kinds


def _outer(text: str) -> str:
    """An annotation without what stands in brackets."""
    depth, kept = 0, []
    for character in text:
        depth += character == "["
        if not depth:
            kept.append(character)
        depth -= character == "]"
    return "".join(kept)


def _kind(value: object) -> str:
    return next((word for kind, word in _KINDS if isinstance(value, kind)), "something else")


def listed(names: Sequence[object]) -> str:
    """Names for people, in quotes."""
    return ", ".join(f"`{shown(name)}`" for name in names[:40])


def shown(value: object) -> str:
    """A value for people, not too long."""
    if isinstance(value, Mapping | base.Base):
        return type(value).__name__
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
