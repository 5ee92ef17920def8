"""Dataclasses out of snapshots of an earlier version."""

from dataclasses import MISSING, fields
from typing import TypeVar

T = TypeVar("T")


def completed(value: T) -> T:
    """The value, with the defaults of the fields that its class did not have when it was pickled.

    Pickle restores only the fields that it saved; those of a class with slots are then missing.
    """
    for each in fields(value):  # type: ignore[arg-type]  # a dataclass, as all that snapshots keep
        if not hasattr(value, each.name):
            if each.default_factory is not MISSING:
                object.__setattr__(value, each.name, each.default_factory())
            else:
                object.__setattr__(value, each.name, each.default)
    return value
