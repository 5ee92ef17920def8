"""Judges series: one here, many in processes of their own."""

import ctypes
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import IO, cast

from dataflows.detect.choice import Choice, make, warm_up
from dataflows.detect.judge import HEADER, Course, Judge, Tally
from dataflows.detect.paths import STANDARD, Job
from engine.recordings.series_csv import BadSeries, SeriesReader

Heard = Callable[[int], None]
Tell = Callable[[int, int], None]
STOPPED = "stopped"
_LOOK_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_read_bytes: "Synchronized[int] | None" = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job.

    Attributes:
        job: what was asked.
        tally: of the rows that were judged.
        problem: why that is not all of them; empty when it is.
    """

    job: Job
    tally: Tally
    problem: str = ""


def one(job: Job, choice: Choice, heard: Heard = lambda _: None) -> Outcome:
    """Judge a series; what is wrong with its files is in the outcome.

    Args:
        job: what to read and to write.
        choice: the detector.
        heard: told the number of bytes of each piece that was read.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
    """
    judge = Judge(make(choice), Course() if job.picture else None)
    try:
        _stream(job, choice, judge, heard)
        if job.picture and judge.course:
            from dataflows.detect.picture import draw  # noqa: PLC0415  needs matplotlib

            job.picture.parent.mkdir(parents=True, exist_ok=True)
            draw(job.picture, job.name, judge.course)
    except BadSeries as error:
        return Outcome(job, judge.tally, str(error))
    except KeyboardInterrupt:
        return Outcome(job, judge.tally, STOPPED)
    except BrokenPipeError:
        raise
    except OSError as error:
        return Outcome(job, judge.tally, _os_problem(job, error))
    return Outcome(job, judge.tally)


def _stream(job: Job, choice: Choice, judge: Judge, heard: Heard) -> None:
    with ExitStack() as stack:
        source = (
            sys.stdin.buffer
            if job.source == STANDARD
            else stack.enter_context(job.source.open("rb"))
        )
        reader = SeriesReader(
            cast("io.BufferedIOBase", source),
            job.name,
            choice.time_column,
            choice.value_column,
            heard,
        )
        target = _opened(job, stack)
        for rows in reader.batches():
            text = judge.judge(rows)
            if target:
                target.write(text.encode("utf-8", "surrogateescape"))
                target.flush()


def _opened(job: Job, stack: ExitStack) -> IO[bytes] | None:
    """The output with its header; opened once the input's header is known to be good."""
    if job.target is None:
        return None
    if job.target == STANDARD:
        target: IO[bytes] = sys.stdout.buffer
    else:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        target = stack.enter_context(job.target.open("wb"))
    target.write(HEADER.encode())
    target.flush()
    return target


def _os_problem(job: Job, error: OSError) -> str:
    where = error.filename or job.target or job.name
    return f"{where}: {error.strerror or error}; check the path, its rights and the disk"


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
