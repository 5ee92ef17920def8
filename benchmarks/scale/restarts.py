"""What restarts cost: a Bytewax cluster stops as a whole when one process does, and is started again."""

from typing import NamedTuple

import numpy as np


class Restarts(NamedTuple):
    """What came of it.

    Attributes:
        between: seconds between restarts, on average.
        late: share of the time in which decisions are not of now.
        worst: seconds that decisions were behind at most.
    """

    between: float
    late: float
    worst: float


def run(
    processes: int, lives: float, down: float, used: float, seconds: float, seed: int = 1
) -> Restarts:
    """A cluster over a long time.

    Args:
        processes: any of which stops it.
        lives: seconds that one lives on average, until a node is drained, or memory or a disk fails.
        down: seconds from one's end until all read again.
        used: share of the workers' time that the traffic takes; the rest works off what waits.
        seconds: to look at.
        seed: of chance.
    """
    rng = np.random.default_rng(seed)
    at = late = worst = behind = 0.0
    restarts = 0
    while True:
        healthy = float(rng.exponential(lives / processes))
        # What waits is worked off with what the traffic leaves of the workers' time.
        catching = behind * used / (1 - used)
        late += min(healthy, catching, max(0.0, seconds - at))
        behind = max(0.0, behind - healthy * (1 - used) / used)
        at += healthy
        if at >= seconds:
            break
        restarts += 1
        behind += down
        worst = max(worst, behind)
        late += min(down, seconds - at)
        at += down
        if at >= seconds:
            break
    return Restarts(seconds / max(restarts, 1), late / seconds, worst)
