"""The one place where failures of the instrumentation itself end.

A call of the application is worth more than what is told about it. So whatever goes wrong in here is counted
(`llm_instrumentation_errors_total`), logged once per place and kind, and never raised.
"""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("burnline_llm")
_MOST_LOGGED = 100
_logged: set[tuple[str, type[BaseException]]] = set()
count: Callable[[str], object] | None = None  # set by the metrics: counts a failure at a place


def failed(where: str, error: Exception) -> None:
    """Count a failure of our own, and log it if it is the first of its kind at this place."""
    try:
        if count is not None:
            count(where)
        kind = (where, type(error))
        if kind not in _logged and len(_logged) < _MOST_LOGGED:
            _logged.add(kind)
            _log.warning(
                "burnline-llm: %s failed; the call itself is not touched. "
                "Further failures like this one are only counted",
                where,
                exc_info=error,
            )
    except Exception:  # noqa: BLE001, S110 - a logging handler that raises must not reach the call either
        pass


def guarded(function: Callable[P, R]) -> Callable[P, R | None]:
    """A function that returns None where it would have raised."""
    where = function.__qualname__

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the seam
            failed(where, error)
            return None

    return wrapper
