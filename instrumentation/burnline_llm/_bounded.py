"""Values of labels, bounded in number and length, so that no names from outside can fill a Prometheus."""

OTHER = "other"
UNKNOWN = "unknown"
_LONGEST = 128


class Bounded:
    """Lets the first so many distinct values through; later ones become `other`.

    >>> labels = Bounded(1)
    >>> [labels("gpt-4o"), labels("made-up"), labels("gpt-4o"), labels(None)]
    ['gpt-4o', 'other', 'gpt-4o', 'unknown']
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, str] = {}

    def __call__(self, value: str | None) -> str:
        if not value:
            return UNKNOWN
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= self._most:
                return OTHER
            known = self._known[value] = value[:_LONGEST]
        return known
