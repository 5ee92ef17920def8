"""Span attributes under the other names, words and units that applications send (`aliases.yaml`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

VERSION = 2


@dataclass(frozen=True, slots=True)
class Alias:
    """How else an attribute is sent; `aliases.yaml` explains each."""

    also: tuple[str, ...] = ()
    milliseconds: tuple[str, ...] = ()
    when_streamed: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    json: Mapping[str, str] = field(default_factory=dict)
    count: Mapping[str, str] = field(default_factory=dict)
    exception: str = ""
    at_last: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    first: bool = False
    last: bool = False
    unless_zero: str = ""
    number: bool = False
    truth: bool = False
    without_cached: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether values stand as they are sent."""
        return self == Alias(self.also)


@cache
def table() -> Mapping[str, Alias]:
    """Canonical span attribute name -> how else it is sent.

    Raises:
        ValueError: the packaged table is of another version than this code reads.
    """
    loaded = _loaded()
    return {name: _alias(entry, loaded["words"]) for name, entry in loaded["span"].items()}


@cache
def words(which: str) -> Mapping[str, str]:
    """A table of words: any spelling in lower case -> the word meant."""
    found: dict[str, str] = _loaded()["words"][which]
    return found


def accepted(name: str) -> tuple[str, ...]:
    """The names whose values are taken for a span attribute as they are, `name` itself first.

    >>> accepted("tenant.id")
    ('tenant.id', 'tenant', 'tenant_id')
    >>> accepted("http.route")
    ('http.route',)
    """
    return (name, *table().get(name, Alias()).also)


@cache
def _loaded() -> dict[str, Any]:
    text = files("slo").joinpath("aliases.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    if loaded["version"] != VERSION:
        raise ValueError(
            f"aliases.yaml: version {loaded['version']!r} is unknown; install the slo package anew"
        )
    return loaded


def _alias(entry: dict[str, Any], tables: dict[str, dict[str, str]]) -> Alias:
    made: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    if "words" in made:
        made["words"] = tables[made["words"]]
    return Alias(**made)
