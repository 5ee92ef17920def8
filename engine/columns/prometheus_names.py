"""The names and labels under which an OTLP metric may be known in Prometheus.

Exporters, the Collector and Prometheus' own OTLP receiver disagree on details (unit and `_total`
suffixes, dots kept or not, runs of underscores), so every form that one of them writes is offered
and a selector may name any of them.

Source: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility".
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from slo.model import label_name

MetricKind = Literal["counter", "updown", "gauge", "histogram", "exponential", "summary"]
Labels = dict[str, str]

# UCUM, as OpenTelemetry writes units, and the words Prometheus has for them. Two words where
# translators changed their mind.
_UNITS: dict[str, tuple[str, ...]] = {
    "d": ("days",),
    "h": ("hours",),
    "min": ("minutes",),
    "s": ("seconds",),
    "ms": ("milliseconds",),
    "us": ("microseconds",),
    "ns": ("nanoseconds",),
    "By": ("bytes",),
    "KiBy": ("kibibytes",),
    "MiBy": ("mebibytes",),
    "GiBy": ("gibibytes",),
    "TiBy": ("tebibytes", "tibibytes"),
    "kBy": ("kilobytes",),
    "KBy": ("kilobytes",),
    "MBy": ("megabytes",),
    "GBy": ("gigabytes",),
    "TBy": ("terabytes",),
    "m": ("meters",),
    "V": ("volts",),
    "A": ("amperes",),
    "J": ("joules",),
    "W": ("watts",),
    "g": ("grams",),
    "Cel": ("celsius",),
    "Hz": ("hertz",),
    "1": ("", "ratio"),
    "%": ("percent",),
}
_PER = {
    "s": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_INVALID = re.compile(r"[^a-zA-Z0-9_:]")
_RUN = re.compile(r"__+")
_ANNOTATION = re.compile(r"\{[^}]*\}")
_HISTOGRAM_PARTS = ("", "_count", "_bucket", "_sum")


@lru_cache(maxsize=512)  # a long name has dozens of long forms
def name_forms(name: str, unit: str, kind: MetricKind) -> tuple[str, ...]:
    """Every name under which a metric may be known, the OTLP name first.

    Args:
        name: the OTLP metric's name, such as `gen_ai.client.operation.duration`.
        unit: its unit in UCUM, such as `s`, `By` or `{token}`.
        kind: what it is; `counter` is a monotonic sum, `updown` any other sum.

    >>> name_forms("llm.requests", "{request}", "counter")
    ('llm.requests', 'llm.requests_total', 'llm_requests', 'llm_requests_total')
    """
    forms: dict[str, None] = {}
    for base in _bases(name):
        for suffix in unit_suffixes(unit):
            with_unit = _with_suffix(base, suffix)
            forms[with_unit] = None
            if kind == "counter":
                for form in _totals(base, suffix):
                    forms[form] = None
    if kind not in ("histogram", "exponential", "summary"):
        return tuple(forms)
    parts = [form + part for part in _HISTOGRAM_PARTS for form in forms]
    return tuple(dict.fromkeys(parts))


@lru_cache(maxsize=512)
def part_forms(name: str, unit: str, part: Literal["_count", "_bucket"]) -> tuple[str, ...]:
    """The names of a histogram's `_count` or `_bucket`, which are counters of observations."""
    bases = (form for form in name_forms(name, unit, "gauge"))
    return tuple(f"{form}{part}" for form in bases)


@lru_cache(maxsize=1024)
def unit_suffixes(unit: str) -> tuple[str, ...]:
    """The suffixes that a unit may give to a name, "" (none at all) first.

    >>> unit_suffixes("By/s"), unit_suffixes("{token}"), unit_suffixes("token")
    (('', 'bytes_per_second'), ('',), ('', 'token'))
    """
    main, _, per = unit.partition("/")
    words = [_words(word) for word in _unit_words(main)]
    divisor = _words(_per_word(per))
    if divisor:
        words = ["_".join(filter(None, (word, "per", divisor))) for word in words or [""]]
    return tuple(dict.fromkeys(["", *words]))


def series_labels(
    resource: Mapping[str, str],
    scope: Mapping[str, str],
    point: Mapping[str, str],
) -> Labels:
    """The labels of a data point: what tells most about the point wins over what tells less.

    Attributes stand under their own name and under their label's name; two attributes of one
    level that become the same label are joined with `;` in the order of their names, as the
    specification asks.

    Args:
        resource: the resource's attributes as text; also give `job` and `instance`.
        scope: `name`, `version` and the scope's attributes, which become `otel_scope_...`.
        point: the data point's attributes as text.
    """
    labels = _level(resource)
    job = resource.get("service.name", "")
    if job and resource.get("service.namespace"):
        job = f"{resource['service.namespace']}/{job}"
    if job:
        labels["job"] = job
    if resource.get("service.instance.id"):
        labels["instance"] = resource["service.instance.id"]
    labels |= _level({f"otel_scope_{key}": value for key, value in scope.items() if value})
    return labels | _level(point)


def _level(attributes: Mapping[str, str]) -> Labels:
    grouped: dict[str, list[str]] = {}
    for key in sorted(attributes):
        plain = label_name(key)
        for label in {plain, _RUN.sub("_", plain)}:
            grouped.setdefault(label, []).append(attributes[key])
    return dict(attributes) | {label: ";".join(values) for label, values in grouped.items()}


def _bases(name: str) -> Iterable[str]:
    escaped = _INVALID.sub("_", name)
    collapsed = _words(name)
    bases = [name, escaped, _RUN.sub("_", escaped), collapsed]
    return dict.fromkeys(f"_{base}" if base[:1].isdigit() else base for base in bases if base)


def _totals(base: str, suffix: str) -> Iterable[str]:
    """A counter's forms with `_total` last; some translators take every other "total" out."""
    yield _total(_with_suffix(base, suffix))
    yield _with_suffix(base.removesuffix("_total"), suffix).removesuffix("_total") + "_total"
    if "." not in base:
        words = [word for word in base.split("_") if word != "total"]
        if any(words):
            yield _total(_with_suffix("_".join(words), suffix))


def _total(name: str) -> str:
    return name if name.endswith("_total") else f"{name}_total"


def _with_suffix(base: str, suffix: str) -> str:
    return base if not suffix or base.endswith((f"_{suffix}", f".{suffix}")) else f"{base}_{suffix}"


def _words(text: str) -> str:
    return _RUN.sub("_", _INVALID.sub("_", text)).strip("_")


def _unit_words(unit: str) -> tuple[str, ...]:
    plain = _ANNOTATION.sub("", unit).strip()
    return _UNITS.get(plain, (plain,)) if plain else ()


def _per_word(unit: str) -> str:
    plain = _ANNOTATION.sub("", unit).strip()
    return _PER.get(plain, plain)
