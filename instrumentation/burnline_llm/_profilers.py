"""The profilers of one call: pyinstrument, and cProfile for those who want exact counts."""

import cProfile
import io
import pstats
import threading
from typing import Any, Protocol

from burnline_llm._stacks import Watched

KINDS = ("pyinstrument", "cprofile")
_LINES = 40
_cprofile_free = threading.Lock()


class Running(Protocol):
    """A profiler at work; made by starting it."""

    def stop(self) -> str | None:
        """End it; what it has seen, None for nothing."""


def start(kind: str, slow: float | None) -> Running | None:
    """Start a profiler for what this thread or task does now; None where one runs already.

    Raises:
        ImportError: pyinstrument is not installed.
    """
    if slow is not None:
        return Watched(slow)
    if kind == "cprofile":
        return _CProfile() if _cprofile_free.acquire(blocking=False) else None
    try:
        return _Pyinstrument()
    except RuntimeError:  # it says so where one runs in this thread and context already
        return None


class _Pyinstrument:
    def __init__(self) -> None:
        try:
            from pyinstrument import Profiler  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError(
                "profiles need pyinstrument: pip install 'burnline-llm[profile]', or choose cprofile"
            ) from error
        self._thread = threading.get_ident()
        self._profiler: Any = Profiler(async_mode="enabled")
        self._profiler.start()

    def stop(self) -> str | None:
        if threading.get_ident() != self._thread:
            return (
                None  # a stream that another thread read to its end: it cannot be stopped from here
            )
        self._profiler.stop()
        text: str = self._profiler.output_text(unicode=True, color=False)
        return text


class _CProfile:
    """cProfile hooks into the whole thread, so there is one at a time."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._profile = cProfile.Profile()
        try:
            self._profile.enable()
        except BaseException:
            _cprofile_free.release()
            raise

    def stop(self) -> str | None:
        _cprofile_free.release()
        if threading.get_ident() != self._thread:
            return None
        self._profile.disable()
        text = io.StringIO()
        pstats.Stats(self._profile, stream=text).sort_stats("cumulative").print_stats(_LINES)
        return text.getvalue()
