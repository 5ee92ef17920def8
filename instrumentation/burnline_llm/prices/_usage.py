"""What a call used, and the one rule of what such counts must be."""

from typing import NamedTuple

# Beyond it a count is an error of its sender, not a call.
MOST_TOKENS = 10**12


class Usage(NamedTuple):
    """Tokens of one call, as OpenTelemetry counts them; None where unknown.

    Attributes:
        input: all tokens of the prompt, cached ones too.
        output: all tokens of the answer, those of reasoning too.
        cache_read: those of `input` that were read from the provider's cache.
        cache_write: those of `input` that were written to it, however long they are kept.
        reasoning: those of `output` that were spent on reasoning.
        cache_write_1h: those of `cache_write` that are kept for an hour.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cache_write_1h: int | None = None

    @classmethod
    def excluding_cached(
        cls,
        fresh: int | None,
        output: int | None,
        *,
        cache_read: int | None = None,
        cache_write: int | None = None,
        cache_write_1h: int | None = None,
        reasoning: int | None = None,
    ) -> "Usage":
        """From counts whose input leaves cached tokens out, as Anthropic's answers have them.

        Only who reads such an answer knows this; nobody can tell it from the numbers later.

        Args:
            fresh: tokens of the prompt that were neither read from the cache nor written to it.
            output: as `Usage.output`, and so on.
            cache_read: see there.
            cache_write: see there.
            cache_write_1h: see there.
            reasoning: see there.

        Examples:
            >>> Usage.excluding_cached(10, 5, cache_read=100).input
            110
        """
        total = None if fresh is None else fresh + (cache_read or 0) + (cache_write or 0)
        return cls(total, output, cache_read, cache_write, reasoning, cache_write_1h)


def whole(usage: Usage) -> tuple[int, int, int, int, int, int] | None:
    """The counts with 0 for unknown ones; None where they can't be true.

    A count may be a float without a fraction, as some senders write them. None of it is repaired:
    more cached tokens than input mean that the sender counts otherwise, and a guess would be a wrong bill.

    Examples:
        >>> whole(Usage(10, 2.0, cache_read=4))
        (10, 2, 4, 0, 0, 0)
        >>> whole(Usage(10, 2, cache_read=11))
    """
    counts = []
    for count in usage:
        if count is None:
            counts.append(0)
            continue
        if not isinstance(count, int | float):
            return None
        # NaN fails the first comparison, infinity the second.
        if not 0 <= count <= MOST_TOKENS or count != int(count):
            return None
        counts.append(int(count))
    input_, output, read, write, reasoning, hour = counts
    if read + write > input_ or hour > write or reasoning > output:
        return None
    return input_, output, read, write, reasoning, hour
