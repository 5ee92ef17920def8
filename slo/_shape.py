"""Pydantic's errors as problems: in our words, at the line and column they are about."""

import types
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from slo._fields import Wrong, shown
from slo.document import Document, Path
from slo.problems import Problem


def shape_problems(
    path: str, document: Document, prefix: Path, form: type[BaseModel], error: ValidationError
) -> list[Problem]:
    """A problem for each of pydantic's errors about the value at `prefix`."""
    return [_problem(path, document, prefix, form, e) for e in error.errors(include_url=False)]


def _problem(
    path: str, document: Document, prefix: Path, form: type[BaseModel], error: ErrorDetails
) -> Problem:
    place, rest = _walk(document, prefix, error["loc"])
    position = document.position(place)
    what, mend = "", ""
    match error["type"]:
        case "missing":
            key = str(error["loc"][-1])
            what, mend = f"{key} is missing", f"add {key}:"
        case "extra_forbidden":
            key = str(error["loc"][-1])
            position = document.keys.get(place, position)
            what = f"{key} is no key here"
            mend = _suggest(key, _keys_beside(form, error["loc"]))
        case "value_error" if isinstance(wrong := error.get("ctx", {}).get("error"), Wrong):
            what, mend = wrong.what, wrong.mend
            position = document.position(place, wrong.offset)
            if "[key]" in rest:
                position = document.keys.get(place, position)
        case "literal_error":
            expected = str(error.get("ctx", {}).get("expected", "")).replace("'", "")
            what = f"{shown(error['input'])} is not possible here"
            mend = "write off or a mapping" if expected == "off" else f"write {expected}"
        case "model_type" | "dict_type" | "model_attributes_type":
            what = f"{shown(error['input'])} where keys and values are needed"
            mend = "write key: value lines, indented"
        case "list_type":
            what = f"{shown(error['input'])} where a list is needed"
            mend = "write [one, another], or a line with - for each"
        case "too_short":
            what, mend = "the list is empty", "add an entry, or remove the key"
        case "too_long":
            most = error.get("ctx", {}).get("max_length")
            what, mend = f"more than {most} entries", f"keep at most {most}"
        case _:
            what, mend = error["msg"], "see docs/slo-reference.md"
    return Problem(path, position, what, mend)


def _walk(
    document: Document, prefix: Path, loc: Sequence[str | int]
) -> tuple[Path, list[str | int]]:
    """The path that an error's `loc` means, and those of its steps that are no place in the file.

    Pydantic puts names of union branches and of missing keys between the steps.
    """
    place: Path = prefix
    rest: list[str | int] = []
    for step in loc:
        if (*place, step) in document.values:
            place = (*place, step)
        else:
            rest.append(step)
    return place, rest


def _suggest(key: str, known: list[str]) -> str:
    folded = {name.lower(): name for name in known}
    near = get_close_matches(key.lower(), list(folded), 1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"remove it; possible are {', '.join(known)}"


def _keys_beside(form: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that the mapping round an error's last step may have."""
    candidates: list[type[BaseModel]] = [form]
    for step in loc[:-1]:
        fields = [
            info.annotation
            for model in candidates
            for name, info in model.model_fields.items()
            if step in (name, info.alias)
        ]
        if fields:
            candidates = [model for annotation in fields for model in _models_in(annotation)]
    return [info.alias or name for m in candidates for name, info in m.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any type hint
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType, list, dict):
        return [m for argument in get_args(annotation) for m in _models_in(argument)]
    return []
