"""Where a benchmark runs."""

import os


def one_core() -> None:
    """Stay on one core from now on, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
