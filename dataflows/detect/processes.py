"""Judges series: one in this process, those of a directory in processes of their own."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized

from dataflows.detect.choice import Choice, warm_up
from dataflows.detect.judge import Tally
from dataflows.detect.paths import Job
from dataflows.detect.run import Outcome, one

Tell = Callable[[int, int], None]
_LOOK_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_read_bytes: "Synchronized[int] | None" = None


def judge_all(jobs: Sequence[Job], choice: Choice, processes: int, tell: Tell) -> Iterator[Outcome]:
    """Judge series; outcomes as they come.

    Args:
        jobs: what to read and to write.
        choice: the detector.
        processes: at a time; 0 for none but this one.
        tell: told the bytes and the files read so far.

    Raises:
        KeyboardInterrupt: outcomes that were not yielded by then are lost.
    """
    if processes:
        yield from _many(jobs, choice, processes, tell)
        return
    total = 0

    def heard(count: int) -> None:
        nonlocal total
        total += count
        tell(total, 0)

    for job in jobs:
        yield one(job, choice, heard)


def _many(jobs: Sequence[Job], choice: Choice, processes: int, tell: Tell) -> Iterator[Outcome]:
    warm_up(choice)
    context = multiprocessing.get_context("fork")  # what is compiled is there in every process
    read_bytes = context.Value("q", 0)
    with ProcessPoolExecutor(
        min(processes, len(jobs)), context, initializer=_begin, initargs=(read_bytes, os.getpid())
    ) as pool:
        largest_first = sorted(jobs, key=lambda job: job.size, reverse=True)
        try:
            with _undisturbed():
                waiting = {pool.submit(_in_process, job, choice): job for job in largest_first}
            while waiting:
                done, _ = wait(waiting, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    yield _outcome(future, waiting.pop(future))
                tell(read_bytes.value, len(jobs) - len(waiting))
        except BaseException:  # Ctrl-C, and whatever ends the one who asked
            for process in multiprocessing.active_children():
                process.terminate()
            raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits: while processes are forked, Python would swallow it or trip over it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _begin(read_bytes: "Synchronized[int]", parent: int) -> None:
    global _read_bytes  # noqa: PLW0603  a process has one
    _read_bytes = read_bytes
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Without its parent a process of the pool would wait for work for ever.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _in_process(job: Job, choice: Choice) -> Outcome:
    def heard(count: int) -> None:
        if _read_bytes is not None:
            with _read_bytes.get_lock():
                _read_bytes.value += count

    return one(job, choice, heard)


def _outcome(future: "Future[Outcome]", job: Job) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        problem = "a process that judged was ended from outside; try again with fewer --jobs"
        return Outcome(job, Tally(), f"{job.name}: {problem}")
