"""What is wrong with a JSON payload, without a word of the payload: its values may be content."""

import re

_PREFIX = "not an OTLP request: "
_WAY = re.compile(r"(?:Failed to parse \w+ field: )+")
_PLACE = re.compile(r" at (Export\w+(?:\.\w+|\[\d+\])*)\.*\Z")
_ID = re.compile(r"((?:\w+(?:\[\d+\])*\.)*\w+): .* id ", re.DOTALL)


def without_values(message: str) -> str:
    """A message of `engine.columns.otlp_json`, which quotes the value that it could not read, without that.

    >>> without_values("resourceSpans[0].traceId: 'Hello' is no id in hex digits (odd)")
    'resourceSpans[0].traceId: an id is a string of hex digits'
    """
    if not message.startswith(_PREFIX):
        found = _ID.match(message)
        # The JSON parser itself names a line and column and quotes nothing.
        return f"{found[1]}: an id is a string of hex digits" if found else message
    what = message.removeprefix(_PREFIX)
    way = _WAY.match(what)
    if way is None:
        return message if what.startswith("a JSON ") else f"{_PREFIX}its form is another"
    place = _PLACE.search(what)
    at = f" at {place[1]}" if place else ""
    return f"{_PREFIX}{way[0]}a value that does not fit{at}"
