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
    if not name.startswith("river."):
        return (
            f"there is no detector {name}",
            "write default, or an estimator such as river.anomaly.HalfSpaceTrees",
        )
    return None
