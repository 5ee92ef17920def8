"""The presets there are, read from the data files beside this module."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from slo.document import read_documents
from slo.presets.parameters import Parameter, Value

_PLACE = re.compile(r"\$\{(\w+)(?:\.(\w+))?\}")


@dataclass(frozen=True, slots=True)
class Preset:
    """A ready-made SLO.

    Attributes:
        about: what it promises, for people.
        why: what its defaults rest on.
        parameters: what an SLO may say to it beyond what every SLO has.
        slo: the SLO as YAML data, with `${parameter}` in its texts.
    """

    name: str
    about: str
    why: str
    slo: Mapping[str, Any]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def filled(self, values: Mapping[str, Value], scope: str) -> dict[str, Any]:
        """Its SLO with values for the parameters.

        Args:
            values: by parameter.
            scope: what is to be true of every event, as TraceQL without braces.
        """
        filled: dict[str, Any] = {
            key: _fill(part, values, scope, inside=key == "sli") for key, part in self.slo.items()
        }
        filled["name"] = filled["name"].strip("-")
        return filled


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by its name.

    >>> sorted(presets()["latency"].parameters)
    ['threshold']
    """
    found = [file for file in files("slo.presets").iterdir() if file.name.endswith(".yaml")]
    read = (_preset(file.name, file.read_text("utf-8")) for file in found)
    return {preset.name: preset for preset in sorted(read, key=lambda preset: preset.name)}


def _preset(path: str, source: str) -> Preset:
    (document,), _ = read_documents(path, source)
    data: Any = document.data
    parameters = {
        name: Parameter(**{**given, "choices": tuple(given.get("choices", ()))})
        for name, given in data.get("parameters", {}).items()
    }
    return Preset(data["preset"], data["about"], data["why"], data["slo"], parameters)


def _fill(part: Any, values: Mapping[str, Value], scope: str, *, inside: bool) -> Any:  # noqa: ANN401 - YAML in, YAML out
    if isinstance(part, dict):
        return {key: _fill(one, values, scope, inside=inside) for key, one in part.items()}
    if not isinstance(part, str):
        return part

    def value(match: re.Match[str]) -> str:
        name, form = match.groups()
        if name == "scope":
            return scope
        if form:
            return values[name].forms[form]
        return values[name].quoted if inside else values[name].plain

    return _PLACE.sub(value, part)


def plain(part: Any) -> Any:  # noqa: ANN401 - YAML in, JSON out
    """YAML data with numbers as JSON and PyYAML write them."""
    if isinstance(part, Mapping):
        return {key: plain(one) for key, one in part.items()}
    if isinstance(part, list):
        return [plain(one) for one in part]
    return float(part) if isinstance(part, Decimal) else part


def conjunction(filters: Iterable[str]) -> str:
    """Filters of TraceQL, each in its braces, as one condition without braces.

    >>> conjunction(['{ span.a = 1 }', '{ span.b = 1 || span.c = 1 }'])
    'span.a = 1 && (span.b = 1 || span.c = 1)'
    >>> conjunction(['{ }'])
    'true'
    """
    inner = [one.strip()[1:-1].strip() for one in filters]
    grouped = [f"({one})" if "||" in one or "&&" in one else one for one in inner if one]
    return " && ".join(grouped) or "true"
