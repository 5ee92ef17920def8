"""Whose fault a failed model call is (`faults.yaml`)."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

UNKNOWN = "unknown"
FAULTS = ("provider", "caller", "limit", "network", UNKNOWN)
_STATUSES = range(100, 600)


def of_type(error_type: str) -> str:
    """By `error.type`: an exception's name, a code of the provider, or an HTTP status.

    >>> of_type("openai.RateLimitError"), of_type("529"), of_type("MyOwnError")
    ('limit', 'provider', 'unknown')
    """
    last = error_type.rpartition(".")[2].strip().lower()
    if last.isascii() and last.isdigit() and len(last) == 3:
        return of_status(int(last))
    return _types().get(last, UNKNOWN)


def of_status(status: float) -> str:
    """By an HTTP status.

    >>> of_status(503), of_status(404), of_status(200)
    ('provider', 'caller', 'unknown')
    """
    if status in _STATUSES:
        for entry in _loaded()["statuses"]:
            if entry["from"] <= status <= entry["to"]:
                return str(entry["fault"])
    return UNKNOWN


@cache
def _types() -> Mapping[str, str]:
    return {name: fault for fault, names in _loaded()["types"].items() for name in names}


@cache
def _loaded() -> dict[str, Any]:
    text = files("slo").joinpath("faults.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    if loaded["version"] != 1:
        raise ValueError(
            f"faults.yaml: version {loaded['version']!r} is unknown; install the slo package anew"
        )
    return loaded
