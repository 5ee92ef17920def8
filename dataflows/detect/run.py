"""Judges one series, from its file or pipe to where its verdicts go."""

import io
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, cast

from dataflows.detect.choice import Choice, make
from dataflows.detect.judge import HEADER, Course, Judge, Tally
from dataflows.detect.paths import STANDARD, Job
from engine.recordings.series_csv import BadSeries, SeriesReader

Heard = Callable[[int], None]
STOPPED = "stopped"


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
