"""Which detectors can be named in a file."""

from collections.abc import Mapping

DEFAULT = "default"


def detector_problem(name: str, parameters: Mapping[str, object]) -> tuple[str, str] | None:
    """What is wrong with a detector's name or parameters, and the mend; None where they can be used.

    The one place where the names of a file meet the detectors that there are.

    >>> detector_problem("default", {}) is None
    True
    """
    if name == DEFAULT:
        if parameters:
            return "the default detector has no parameters", "remove them: it sets itself"
        return None
    from detectors.named import check  # noqa: PLC0415 - river takes a second, and few name it

    problem = check(name, dict(parameters))
    if problem is None:
        return None
    what, _, mend = problem.partition("; ")
    return what, mend or "write a value that it takes"
