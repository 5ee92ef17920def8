"""An application's own metrics in one line, on the same `/metrics`, with bounded labels."""

import threading
from typing import Any, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from burnline_llm import _guard
from burnline_llm._bounded import Bounded

_MOST_VALUES = 100
_DEFAULT_BUCKETS = Histogram.DEFAULT_BUCKETS
_made: dict[str, "_Metric"] = {}
_lock = threading.Lock()


class _Metric:
    def __init__(
        self,
        kind: type[Any],
        name: str,
        text: str,
        labels: tuple[str, ...],
        options: dict[str, Any],
    ) -> None:
        self.kind = kind
        self.labels = labels
        self._family = kind(name, text, labels, registry=REGISTRY, **options)
        self._bounded = [Bounded(_MOST_VALUES) for _ in labels]

    def _child(self, labels: dict[str, object]) -> Any:  # noqa: ANN401
        if not self.labels:
            if labels:
                raise ValueError(f"this metric has no labels, but got {', '.join(labels)}")
            return self._family
        if set(labels) != set(self.labels):
            raise ValueError(f"this metric has the labels {self.labels}, but got {tuple(labels)}")
        return self._family.labels(
            *(
                bounded(str(labels[name]))
                for name, bounded in zip(self.labels, self._bounded, strict=True)
            )
        )


class CustomCounter(_Metric):
    """Counts."""

    @_guard.guarded
    def inc(self, amount: float = 1, **labels: object) -> None:
        """Add to it."""
        self._child(labels).inc(amount)


class CustomGauge(_Metric):
    """Goes up and down."""

    @_guard.guarded
    def set(self, value: float, **labels: object) -> None:
        """Set it."""
        self._child(labels).set(value)

    @_guard.guarded
    def inc(self, amount: float = 1, **labels: object) -> None:
        """Add to it; a negative amount takes away."""
        self._child(labels).inc(amount)


class CustomHistogram(_Metric):
    """Counts by size."""

    @_guard.guarded
    def observe(self, value: float, **labels: object) -> None:
        """Add a value."""
        self._child(labels).observe(value)


def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> CustomCounter:
    """A counter: `counter("answers_rated_total", "Ratings", ("rating",)).inc(rating="up")`."""
    return _once(CustomCounter, Counter, name, text, labels)


def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> CustomGauge:
    """A gauge."""
    return _once(CustomGauge, Gauge, name, text, labels)


def histogram(
    name: str,
    text: str,
    labels: tuple[str, ...] = (),
    buckets: tuple[float, ...] = _DEFAULT_BUCKETS,
) -> CustomHistogram:
    """A histogram."""
    return _once(CustomHistogram, Histogram, name, text, labels, buckets=buckets)


M = TypeVar("M", bound=_Metric)


def _once(
    ours: type[M],
    kind: type[Any],
    name: str,
    text: str,
    labels: tuple[str, ...],
    **options: tuple[float, ...],
) -> M:
    labels = tuple(labels)
    with _lock:
        found = _made.get(name)
        if found is None:
            found = _made[name] = ours(kind, name, text, labels, options)
        if not isinstance(found, ours) or found.labels != labels:
            raise ValueError(
                f"metric {name!r} exists as a {found.kind.__name__} with labels {found.labels}: "
                "ask for it with the same ones, or choose another name"
            )
        return found
