"""Fields of what providers' clients answer, without asking an object for what it has not.

Models of pydantic's answer such a question by an exception of their own, which takes microseconds; a stream
would pay them several times a chunk. Their fields lie in a dict, so that is looked at.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

_MOST_CLASSES = 512
# Of a pydantic model the names of its properties, which its dict has not; None for other classes.
_known: dict[type, frozenset[str] | None] = {}


def get(thing: Any, name: str) -> Any:  # noqa: ANN401 - any client's objects
    """A field of an object or a mapping; None if it has none."""
    kind = thing.__class__
    if kind is dict:
        return thing.get(name)
    if thing is None:
        return None
    properties = _known[kind] if kind in _known else _look_at(kind)
    if properties is not None and name not in properties:
        value = thing.__dict__.get(name)
        # Fields that the client does not know yet lie apart.
        return (
            thing.__pydantic_extra__.get(name)
            if value is None and thing.__pydantic_extra__
            else value
        )
    value = getattr(thing, name, None)
    if value is None and hasattr(kind, "keys") and isinstance(thing, Mapping):
        return thing.get(name)
    return value


def fields_of(thing: Any) -> Any:  # noqa: ANN401 - any client's objects
    """What `get` finds the same in as in the thing, sooner: all its fields as a dict, or else the thing."""
    kind = thing.__class__
    properties = _known[kind] if kind in _known else _look_at(kind)
    if properties is None or properties:
        return thing
    more = thing.__pydantic_extra__
    return {**more, **thing.__dict__} if more else thing.__dict__


def _look_at(kind: type) -> frozenset[str] | None:
    properties: frozenset[str] | None = None
    if "__pydantic_fields__" in vars(kind):
        bases = [base for base in kind.__mro__[:-1] if not base.__module__.startswith("pydantic.")]
        if not any({"__getattr__", "__getattribute__"} & vars(base).keys() for base in bases):
            properties = frozenset(
                name
                for base in bases
                for name, value in list(vars(base).items())
                if isinstance(value, property | cached_property)
            )
    if len(_known) < _MOST_CLASSES:
        _known[kind] = properties
    return properties
