"""What the forms of SLO files share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from slo._fields import AnnotationName, LabelName, Off, Text

# The names of a union's branches appear in pydantic's error paths; no YAML key looks like these.
FORM, TEXT = "<form>", "<text>"


class Form(BaseModel):
    """A mapping with keys that are known, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


Labels = dict[LabelName, Text]
Annotations = dict[AnnotationName, Text]


def form_or_text(value: object) -> str:
    """Which branch of a union of a form and a text a value is."""
    return FORM if isinstance(value, dict | BaseModel) else TEXT


class AlertForm(Form):
    """Labels and annotations of the alerts of one severity."""

    labels: Labels = Field(default={}, description="Labels added to these alerts.")
    annotations: Annotations = Field(default={}, description="Annotations added to these alerts.")


AlertOrOff = Annotated[
    Annotated[AlertForm, Tag(FORM)] | Annotated[Off, Tag(TEXT)], Discriminator(form_or_text)
]
