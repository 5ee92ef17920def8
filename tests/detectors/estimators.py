"""Every estimator of the room, found by looking; one that is added is tested without being named."""

import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Iterator
from functools import cache
from unittest import mock

import numpy as np
from river import base, checks, datasets

import detectors


@cache
def kinds() -> tuple[type, ...]:
    """River estimators that are defined in a module of detectors/."""
    found = []
    for module in pkgutil.iter_modules(detectors.__path__, "detectors."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if (
                issubclass(kind, base.Estimator)
                and kind.__module__ == module.name
                and not inspect.isabstract(kind)
            ):
                found.append(kind)
    return tuple(found)


def made() -> Iterator[tuple[str, base.Estimator]]:
    """One of each, with each of its parameters for tests; a name, the estimator."""
    for kind in kinds():
        for number, parameters in enumerate(kind._unit_test_params()):
            yield f"{kind.__name__}{number or ''}", kind(**parameters)


def made_all() -> list[tuple[str, base.Estimator]]:
    return list(made())


class LikeCreditCard:
    """A stream of the shape of river's `datasets.CreditCard`, which is downloaded from the Internet.

    The same thirty features, independent and with heavy tails as principal components are, and a few frauds
    that are off in some of them. Where river has the real one cached, that is used.
    """

    def __iter__(self) -> Iterator[tuple[dict[str, float], int]]:
        rng = np.random.default_rng(7)
        for number in itertools.count():
            fraud = number % 150 == 140
            components = rng.standard_t(4, 28) * np.linspace(1.4, 0.3, 28)
            if fraud:
                components[[3, 9, 11, 13, 16]] += [4, -5, -6, -7, -6]
            x = {"Time": float(number // 2)}
            x |= {f"V{n}": float(v) for n, v in enumerate(components, 1)}
            x["Amount"] = float(np.round(rng.lognormal(3, 1.5), 2))
            yield x, int(fraud)

    def take(self, k: int) -> Iterator[tuple[dict[str, float], int]]:
        """At most 3,000, of the 10,000 that the check of memory asks for: everything here is full by then."""
        return itertools.islice(iter(self), min(k, 3_000))


def river_checks(model: base.Estimator) -> list:
    """River's own checks of an estimator, as its own tests run them."""
    if datasets.CreditCard().is_downloaded:
        return list(checks.yield_checks(model))
    with mock.patch.object(datasets, "CreditCard", LikeCreditCard):
        return list(checks.yield_checks(model))
