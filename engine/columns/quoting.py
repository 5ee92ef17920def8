"""Quoting what a sender wrote, in messages for people."""

LONGEST = 500


def readable(message: str) -> str:
    r"""A message that quotes a sender: cut to a length, without halves of surrogate pairs.

    >>> readable("no \ud800 text")
    'no ? text'
    """
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}..."
    return message.encode("utf-8", "replace").decode()
