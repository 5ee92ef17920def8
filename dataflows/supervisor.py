"""Keeps the flow running: built anew for each reload, and after each failure of the disk.

The flow is ended by its source, so that Bytewax takes a last snapshot, and the next one resumes from
that. Whatever else the process does (receivers, spool, pages, alerts) goes on meanwhile.
"""

import queue
import time
from collections.abc import Callable
from typing import Literal

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from dataflows.disk_trouble import disk_trouble
from engine.telemetry.log import log

FIRST_RETRY, LONGEST_RETRY = 0.5, 15.0

Cause = Literal["reload", "disk"]


class Supervisor:
    """Runs one flow after another, in the thread that calls `run`.

    Args:
        run_flow: builds the next flow and runs it until its input ends, which it does when `ending`.
        restarted: told the cause of each further flow.
        healthy_after: seconds that a flow must run for the trouble before it to be over.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        run_flow: Callable[[], None],
        restarted: Callable[[Cause], None] = lambda _cause: None,
        healthy_after: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_flow = run_flow
        self._restarted = restarted
        self._healthy_after = healthy_after
        self._clock = clock
        self._stopping = False
        self._restarting = False
        # Signal handlers stop and restart: unlike an event's, this queue's `put` may interrupt itself.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._trouble = ""
        self._runs_since = 0.0

    def run(self) -> None:
        """Run flows until `stop`.

        Raises:
            Exception: whatever a flow failed with, where it was not the disk.
        """
        keep = Retrying(
            retry=retry_if_exception(lambda failure: bool(disk_trouble(failure))),
            wait=wait_exponential_jitter(
                multiplier=FIRST_RETRY, max=LONGEST_RETRY, jitter=FIRST_RETRY
            ),
            stop=lambda _state: self._stopping,
            retry_error_callback=lambda state: self._give_up(_reason(state)),
            before_sleep=self._tell,
            sleep=self._nap,
        )
        while not self._stopping:
            keep(self._once)
            if not self._restarting:
                return
            if not self._stopping:
                self._restarted("reload")

    def stop(self) -> None:
        """End the flow, with a snapshot, for good. May be called from anywhere, signal handlers too."""
        self._stopping = True
        self._wakes.put(None)

    def restart(self) -> None:
        """End the flow, with a snapshot, and run the next. May be called from anywhere."""
        self._restarting = True
        self._wakes.put(None)

    def ending(self) -> bool:
        """Whether the flow's input is to end; its source asks before each read."""
        if self._trouble and self._clock() - self._runs_since >= self._healthy_after:
            self._trouble = ""
            log.info("the flow runs again")
        return self._stopping or self._restarting

    def trouble(self) -> str:
        """What keeps the flow from running, or did a moment ago; empty for nothing."""
        return self._trouble

    def _once(self) -> None:
        if self._stopping:
            self._give_up(self._trouble)
            return
        # Before the flow is built: whatever is asked from now on is not of this flow yet.
        self._restarting = False
        self._runs_since = self._clock()
        self._run_flow()

    def _tell(self, state: RetryCallState) -> None:
        self._trouble = _reason(state)
        pause = state.next_action.sleep if state.next_action else 0.0
        log.error(
            "the flow failed by the disk; it goes on from its last snapshot",
            reason=self._trouble,
            again_in_seconds=round(pause, 1),
        )
        self._restarted("disk")

    def _nap(self, seconds: float) -> None:
        """Wait, but for no longer than nothing is asked."""
        while not self._wakes.empty():
            self._wakes.get_nowait()
        if self.ending():
            return
        try:
            self._wakes.get(timeout=seconds)
        except queue.Empty:
            return

    def _give_up(self, reason: str) -> None:
        log.warning(
            "stopped without a last snapshot; what came since the one before is read again at the "
            "next start",
            reason=reason,
        )


def _reason(state: RetryCallState) -> str:
    failure = state.outcome.exception() if state.outcome else None
    return disk_trouble(failure) if failure else ""
