"""Span attributes under the other names that applications send them by (`aliases.yaml`)."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml


@cache
def table() -> Mapping[str, tuple[str, ...]]:
    """Canonical span attribute name -> the other names that are accepted, most preferred first.

    Raises:
        ValueError: the packaged table is of another version than this code reads.
    """
    loaded = yaml.safe_load(files("slo").joinpath("aliases.yaml").read_text(encoding="utf-8"))
    if loaded["version"] != 1:
        raise ValueError(
            f"aliases.yaml: version {loaded['version']!r} is unknown; install the slo package anew"
        )
    return {canonical: tuple(others) for canonical, others in loaded["span"].items()}


def accepted(name: str) -> tuple[str, ...]:
    """The names under which a span attribute is accepted, `name` itself first.

    >>> accepted("tenant.id")
    ('tenant.id', 'tenant', 'tenant_id')
    >>> accepted("http.route")
    ('http.route',)
    """
    return (name, *table().get(name, ()))
