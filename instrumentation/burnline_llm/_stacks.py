"""Stacks of a call that is slow already, looked at from beside it: nothing is paid for by calls that are not.

A profiler that hooks into every function call makes all of them slower, to learn about the few that are
slow. Here a thread wakes up once the threshold has passed, and from then on looks at the call's stack every
so often.
"""

import asyncio
import sys
import threading
import time
from collections import Counter
from types import CodeType, FrameType
from typing import Any

_SECONDS_BETWEEN = 0.02
_DEEPEST = 60
_MOST_STACKS = 500
_LONGEST_WATCH = 600.0


_looking = threading.Lock()


class Watched:
    """One call that is watched: its thread, and its asyncio task if it runs in one."""

    def __init__(self, slow: float) -> None:
        self._thread = threading.get_ident()
        try:
            self._task: asyncio.Task[Any] | None = asyncio.current_task()
        except RuntimeError:  # no event loop in this thread
            self._task = None
        self._slow = slow
        self._began = time.monotonic()
        self._seen: Counter[tuple[str, ...]] | None = None  # made for those that are slow
        self.is_done = False
        _watcher.watch(self)

    @property
    def due(self) -> float:
        """When to look for the first time."""
        return self._began + self._slow

    def look(self, now: float) -> bool:
        """Note the stack as it is; False once nobody waits for it any more."""
        if self.is_done or now - self._began > _LONGEST_WATCH:
            return False
        stack = _task_stack(self._task) if self._task is not None else _thread_stack(self._thread)
        with _looking:
            if self._seen is None:
                self._seen = Counter()
            if len(self._seen) < _MOST_STACKS or stack in self._seen:
                self._seen[stack] += 1
        return True

    def stop(self) -> str | None:
        """The stacks that were seen, most often first; None where the call was not slow."""
        self.is_done = True
        if self._seen is None:
            return None
        with _looking:
            total = sum(self._seen.values())
            lines = [f"{total} looks, one every {_SECONDS_BETWEEN:g} s after {self._slow:g} s"]
            for stack, count in self._seen.most_common(20):
                lines.append(f"{100 * count / total:.0f} % ({count})")
                lines += [f"  {place}" for place in stack]
            return "\n".join(lines)


class _Watcher:
    """The one thread that looks; it ends when there is nothing to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._all: list[Watched] = []
        self._running = False
        self._wakes = 0.0

    def watch(self, watched: Watched) -> None:
        with self._lock:
            self._all.append(watched)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="burnline-llm-stacks", daemon=True).start()
            if watched.due < self._wakes:  # else it looks in time by itself, and is left asleep
                self._changed.notify()

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            with self._lock:
                watching = list(self._all)
                if not watching:
                    if time.monotonic() - idle_since > 10:
                        self._running = False
                        return
                    self._sleep(5)
                    continue
            now = time.monotonic()
            idle_since = now
            ended = {one for one in watching if now >= one.due and not one.look(now)}
            ended |= {one for one in watching if one.is_done}
            with self._lock:
                self._all = [one for one in self._all if one not in ended]
                if self._all:
                    next_look = min(max(one.due - now, _SECONDS_BETWEEN) for one in self._all)
                    self._sleep(min(next_look, 1.0))

    def _sleep(self, seconds: float) -> None:
        self._wakes = time.monotonic() + seconds
        self._changed.wait(seconds)


def _thread_stack(thread: int) -> tuple[str, ...]:
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to it
    places: list[str] = []
    while frame is not None and len(places) < _DEEPEST:
        places.append(_place(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(places) or ("(the thread has ended)",)


def _task_stack(task: "asyncio.Task[Any]") -> tuple[str, ...]:
    """The coroutines that wait for each other; the innermost first."""
    places: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None and len(places) < _DEEPEST:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if frame is None:
            break
        places.append(_place(frame.f_code, frame.f_lineno))
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return tuple(reversed(places)) or ("(the task has ended)",)


def _place(code: CodeType, line: int | None) -> str:
    return f"{code.co_qualname} ({code.co_filename}:{line or 0})"


_watcher = _Watcher()
