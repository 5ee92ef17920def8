"""Presets as text: what there is, and the SLO file that one stands for."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import yaml

from slo.presets.expanding import expand
from slo.presets.library import Preset, plain, presets
from slo.presets.parameters import Parameter

_WIDTH = 100


def catalogue() -> str:
    """Every preset: what it promises, its objective and its parameters.

    >>> catalogue().splitlines()[0]
    'availability: 99.5 %. Model calls end without an error, whoever is to blame.'
    """
    return "\n".join(line for preset in presets().values() for line in _entry(preset)) + "\n"


def table() -> str:
    """Every preset as rows of Markdown, as docs/presets.md has them."""
    rows = ["| preset | what | objective | parameters |", "|---|---|---|---|"]
    for preset in presets().values():
        parameters = "<br>".join(
            f"`{name}`: {_default(p)}. {p.about}" for name, p in preset.parameters.items()
        )
        objective = f"{plain(preset.slo['objective']):g} %"
        rows.append(f"| `{preset.name}` | {preset.about} | {objective} | {parameters} |")
    return "\n".join(rows) + "\n"


def written_out(preset: Preset, service: str) -> str:
    """The SLO file that a preset stands for with its defaults, for the spans of a service."""
    written = {
        name: parameter.example
        for name, parameter in preset.parameters.items()
        if parameter.default is None
    }
    slo = plain(expand(preset, {"preset": preset.name, **written}, service))
    document = {"apiVersion": "burnline/v1", "service": service, "slos": [slo]}
    comments = [f"# {line}" for line in wrap(f"{preset.about} {preset.why}", _WIDTH - 2)]
    return "\n".join(comments) + "\n" + _yaml(document)


def _entry(preset: Preset) -> Iterator[str]:
    yield f"{preset.name}: {plain(preset.slo['objective']):g} %. {preset.about}"
    for name, parameter in preset.parameters.items():
        yield f"    {name}: {_default(parameter)}. {parameter.about}"


def _default(parameter: Parameter) -> str:
    if parameter.default is None:
        return f"to be given, such as {parameter.example}"
    default = plain(parameter.default)
    if isinstance(default, list):
        return f"[{', '.join(default)}]"
    return str(default)


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
