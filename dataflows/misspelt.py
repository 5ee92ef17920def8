"""Variables of the environment that look like an option's and are none: otherwise a slip would be silent."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from engine.telemetry.log import log

PREFIX = "BURNLINE_"
# Further away it may be anybody's: Kubernetes makes BURNLINE_SERVICE_HOST for a Service named burnline.
CLOSE = 0.85


def misspelt(environment: Mapping[str, str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Variables that are read by nobody, and the names that they resemble.

    >>> list(misspelt({"BURNLINE_SLO": "x", "BURNLINE_PORT": "y"}, ["BURNLINE_SLOS"]))
    [('BURNLINE_SLO', 'BURNLINE_SLOS')]
    """
    names = sorted(known)
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in names:
            near = get_close_matches(variable, names, 1, CLOSE)
            if near:
                yield variable, near[0]


def warn_of_misspelt(environment: Mapping[str, str], known: Iterable[str]) -> None:
    """Say which variables are read by nobody; not an error, as they may be meant for others."""
    for variable, near in misspelt(environment, known):
        log.warning(
            f"the variable {variable} is no option's and has no effect; did you mean {near}?"
        )
