"""A process in the company of the others: all begin, and all end, together.

Bytewax can't go on without one of its processes, nor take one back: whoever is gone takes the others along,
and whoever is told to stop stops all, each with a last snapshot. Who was not told to exits with a status that
has a supervisor start it again.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from dataflows.cluster.cards import Agreed, Card, Plain
from dataflows.cluster.link import Link
from dataflows.settings import ClusterSettings
from engine.sinks.board import Board
from engine.sinks.shown import Burning
from engine.telemetry.log import log

# 75: to be tried again.
AGAIN = os.EX_TEMPFAIL
POLL_SECONDS = 0.2
TELL_SECONDS = 1.0
# Bytewax notices that a process is gone within milliseconds; what it does not end is left behind.
GRACE_SECONDS = 5.0
# Every shard decides once a second. A flow that has not decided for so long is stuck.
STUCK_SECONDS = 120.0


class ClusterEnded(Exception):  # noqa: N818 - what happened
    """The cluster has ended, not by what this process was asked; `AGAIN` is its exit status."""


class Company:
    """The other processes, as this one needs them.

    Args:
        settings: who this process is.
        board: where it is said what burns.
        stop: ends the flow, with a snapshot.
        asked: whether this process itself was told to stop.

    Attributes:
        reload_asked: set by a signal's handler; `look` says that there is no such thing.
        ended_well: the flow has ended with a last snapshot.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        board: Board,
        stop: Callable[[], None],
        asked: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self._board = board
        self._stop = stop
        self._asked = asked
        self._link: Link | None = None
        self.reload_asked = False
        self.ended_well = False
        self._told_end = self._said_lost = False
        self._told_burning: Mapping[str, Burning] | None = None
        self._told_at = 0.0
        self._decided_at: float | None = None
        self._failure: BaseException | None = None

    def meet(self, card: Card, partitions: int) -> Agreed:
        """Wait for the others.

        Raises:
            dataflows.cluster.link.Refused: the processes do not fit together.
            dataflows.cluster.link.Stopped: this process was told to stop first.
        """
        self._link, agreed = Link.meet(self.settings, card, partitions, self._asked)
        self._link.on_message = self._hear
        processes = len(self.settings.addresses)
        log.info("the cluster is complete", process=self.settings.process, processes=processes)
        return agreed

    def run(self, flow: Callable[[], None]) -> None:
        """Run the flow to its end, in a thread, so that signals are heard whatever becomes of it.

        Raises:
            ClusterEnded: another process is gone, hangs, or was told to stop.
            Exception: what the flow failed with by itself.
        """
        thread = threading.Thread(target=self._run, args=(flow,), name="burnline-flow", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            self.look()
            if self.lost() is not None:
                thread.join(GRACE_SECONDS)
                if thread.is_alive():
                    raise ClusterEnded(self._why_lost())
        if self._failure is not None:
            self._explain(self._failure)
        self.ended_well = True
        if not self._asked():
            raise ClusterEnded(
                "the cluster was stopped by another process, which was told to; this one is to be started "
                "again with it"
            )

    def watch(self, ended: Callable[[], None]) -> None:
        """Beside a flow that somebody else runs: say which other process is gone, then call `ended`."""

        def watching() -> None:
            while self.lost() is None:
                time.sleep(POLL_SECONDS)
                self.look()
            self._say_lost()
            ended()

        threading.Thread(target=watching, name="burnline-company", daemon=True).start()
        # Bytewax may end the process faster than that.
        atexit.register(self._last_words)

    def _last_words(self) -> None:
        until = time.monotonic() + TELL_SECONDS
        while self.lost() is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS / 10)
        self._say_lost()

    def _say_lost(self) -> None:
        if self.lost() is not None and not self._said_lost:
            self._said_lost = True
            log.error(self._why_lost())

    def look(self) -> None:
        """Tell the others what has changed here; called now and then."""
        link = self._link
        if link is None:
            return
        if self.reload_asked:
            self.reload_asked = False
            log.warning(
                "SLO files are not read again: a cluster reads them at a start; stop any of its processes, "
                "and start all again"
            )
        if self._asked() and not self._told_end:
            self._told_end = True
            link.tell({"ending": True})
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            burning = self._board.burning()
            if burning is not None and burning != self._told_burning:
                self._told_burning = burning
                link.tell({"burning": {service: list(each) for service, each in burning.items()}})

    def decided(self) -> None:
        """The flow has decided something, be it in a replay."""
        self._decided_at = time.monotonic()

    def lost(self) -> int | None:
        """A process that is gone, or hung for too long."""
        return self._link.lost() if self._link else None

    def unready(self) -> str:
        """What keeps the cluster from working; empty for nothing."""
        return "" if self._link else "waiting for other processes of the cluster"

    def unhealthy(self) -> str:
        """Why the cluster should be started anew; empty for nothing."""
        if self._link is None:
            return ""
        for process, seconds in self._link.silent().items():
            return f"process {process} of the cluster has not been heard of for {seconds:.0f} s"
        if self._decided_at is not None and not self._asked():
            seconds = time.monotonic() - self._decided_at
            if seconds > STUCK_SECONDS:
                return f"the flow has not decided for {seconds:.0f} s"
        return ""

    def close(self) -> None:
        """End the connections; unless the flow has ended well the others miss this process."""
        if self._link is not None:
            self._link.close(bye=self.ended_well)

    def _hear(self, process: int, message: Plain) -> None:
        if "ending" in message:
            log.info("another process was told to stop, and so the cluster stops", process=process)
            self._stop()
        elif "burning" in message:
            told: dict[str, list[Any]] = message["burning"]
            self._board.publish_burning(process, {s: Burning(*each) for s, each in told.items()})

    def _run(self, flow: Callable[[], None]) -> None:
        try:
            flow()
        except BaseException as failure:  # noqa: BLE001  raised again by `run`; Bytewax's panics are no Exception
            self._failure = failure

    def _explain(self, failure: BaseException) -> None:
        """Raise what a failed flow means."""
        until = time.monotonic() + GRACE_SECONDS
        # Who is gone makes Bytewax fail, perhaps before it is missed here.
        while self.lost() is None and not isinstance(failure, Exception):
            if time.monotonic() > until:
                raise ClusterEnded(
                    f"the flow ended with {failure}, most likely by another process; see their logs"
                ) from failure
            time.sleep(POLL_SECONDS / 10)
        if self.lost() is not None:
            raise ClusterEnded(self._why_lost()) from None
        raise failure

    def _why_lost(self) -> str:
        lost = self.lost()
        silent = self._link.silent() if self._link else {}
        address = self.settings.addresses[lost or 0]
        how = "has hung or can't be reached" if lost in silent else "is gone"
        return (
            f"process {lost} of the cluster ({address}) {how}, and the cluster ends with it; start all "
            "processes again, they go on from their last snapshot. Why it ended is in its log"
        )
