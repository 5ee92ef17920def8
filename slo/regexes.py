"""Regular expressions of selectors: RE2, whose time grows only linearly with the text.

SLO files and telemetry come from different people; a backtracking engine would let the one be
stalled by the other. As in Prometheus 3, expressions are anchored at both ends and `.` matches
line breaks.
"""

from collections.abc import Callable
from functools import lru_cache

import re2  # type: ignore[import-untyped]  # the wheel carries no type hints


def _options() -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.dot_nl = True
    return options


@lru_cache(maxsize=1024)
def full_matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a whole text matches the pattern.

    Raises:
        ValueError: the pattern is no regular expression of RE2's syntax.

    >>> full_matcher("gpt-4.*")("gpt-4o")
    True
    """
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "refused"
        raise ValueError(reason) from None
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None

    def matches(text: str) -> bool:
        return compiled.fullmatch(text) is not None

    return matches
