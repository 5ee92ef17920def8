"""An SLO that names a preset, as the SLO that it stands for."""

from collections.abc import Mapping
from typing import Any

from slo.document import Document, Path
from slo.presets.library import Preset, conjunction
from slo.presets.parameters import quoted

# What an SLO may say to every preset; all else that is no parameter goes into the SLO as it is.
OWN_KEYS = frozenset({"preset", "scope", "where", "slices"})


def expand(preset: Preset, written: Mapping[str, Any], service: str) -> dict[str, Any]:
    """The SLO as YAML data.

    Args:
        preset: which is named.
        written: the SLO as it stands in the file; checked.
        service: whose SLO it is; the spans of this service are meant where no scope is given.
    """
    values = {
        name: parameter.read(written.get(name, parameter.default))
        for name, parameter in preset.parameters.items()
    }
    scope = written.get("scope", f"{{ resource.service.name = {quoted(service)} }}")
    filters = [scope, *([written["where"]] if "where" in written else [])]
    slo = preset.filled(values, conjunction(filters))
    if "slices" in written:
        slo["sli"] = {**slo["sli"], "slices": written["slices"]}
    return slo | {k: v for k, v in written.items() if k not in {*OWN_KEYS, *preset.parameters}}


def lend_places(document: Document, at: Path) -> None:
    """Give the parts of the expanded SLO that have no place in the file that of what they come from."""
    for part, names in (
        (("sli",), ("preset",)),
        (("sli", "slices"), ("slices",)),
        (("sli", "spans", "total"), ("where", "scope", "preset")),
    ):
        origin = next((name for name in names if (*at, name) in document.values), None)
        if origin is not None:
            document.values[*at, *part] = document.position((*at, origin))
