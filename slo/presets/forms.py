"""The YAML form of each preset: what every SLO has, and the preset's own parameters."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model

from slo._fields import Name, Percent
from slo._forms import Form
from slo.presets.library import Preset, plain, presets


def preset_forms(base: type[Form]) -> Mapping[str, type[Form]]:
    """A form for each preset.

    Args:
        base: what the forms have in common.
    """
    return {name: _form(preset, base) for name, preset in presets().items()}


def _form(preset: Preset, base: type[Form]) -> type[Form]:
    own: dict[str, Any] = {
        "preset": (
            Literal[preset.name],
            Field(description=preset.about),
        )
    }
    for name, parameter in preset.parameters.items():
        about: dict[str, Any] = {"description": parameter.about}
        if parameter.default is None:
            about["examples"] = [parameter.example]
        else:
            about |= {"default": None, "json_schema_extra": {"default": plain(parameter.default)}}
        own[name] = (parameter.annotation, Field(**about))
    for name, kind in (("name", Name), ("objective", Percent)):
        if "${" not in str(preset.slo[name]):
            own[name] = (
                kind,
                Field(
                    default=None,
                    description=base.model_fields[name].description,
                    json_schema_extra={"default": plain(preset.slo[name])},
                ),
            )
    title = "".join(word.capitalize() for word in preset.name.split("-"))
    return create_model(f"{title}PresetForm", __base__=base, __doc__=preset.about, **own)
