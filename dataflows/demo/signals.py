"""Ctrl-C and SIGTERM as an exception, once, so that what was started is stopped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """Handlers of SIGINT, SIGTERM and SIGHUP that raise `Interrupted` for the first that comes.

    Further ones are ignored: stopping is bounded, and a second Ctrl-C would leave servers behind.
    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, object] = {}
        self._holding = False
        self._held: int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
            for number in _SIGNALS:
                signal.signal(number, self._raise)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal gave

    def ignore(self) -> None:
        """From here on no signal interrupts."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What comes within is raised at its end, so that what was started is noted, too."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
            if self._held is not None:
                raise Interrupted(self._held)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        self.ignore()
        if self._holding:
            self._held = number
            return
        raise Interrupted(number)
