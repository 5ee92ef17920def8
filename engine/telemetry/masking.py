"""Keeps secrets out of text for people: the log, errors, and whatever else leaves the process."""

import re

MASK = "***"
# A shorter one would blot out half of the log.
_LEAST = 8
_known: tuple[str, ...] = ()

# `//user:password@host`: up to the last @, as a password may hold one unescaped; a user alone can be a token.
_USERINFO = re.compile(r"(?<=://)[^\s\"'<>]*@")
_AUTHORIZATION = re.compile(r"\b(bearer|basic)(\s+)[^\s\"',;]+", re.IGNORECASE)
_QUERY = re.compile(
    r"([?&][^=&\s]*(?:token|key|secret|passw|signature)[^=&\s]*=)[^&\s\"'<>]+", re.IGNORECASE
)


def keep_secret(value: str) -> None:
    """Mask this value wherever it stands, from now on."""
    global _known  # noqa: PLW0603  one process has one set of secrets; a new tuple needs no lock
    if len(value) >= _LEAST and value not in _known:
        # The longest first: one may be the beginning of another.
        _known = tuple(sorted((*_known, value), key=len, reverse=True))


def mask(text: str) -> str:
    """Text without known secrets, credentials in URLs, and what stands behind Bearer and Basic.

    >>> mask("POST https://ops:hunter2@am:9093/?api_key=k1 says: Bearer abc is wrong")
    'POST https://***@am:9093/?api_key=*** says: Bearer *** is wrong'
    """
    for secret in _known:
        text = text.replace(secret, MASK)
    text = _USERINFO.sub(f"{MASK}@", text)
    text = _QUERY.sub(rf"\1{MASK}", text)
    return _AUTHORIZATION.sub(rf"\1\2{MASK}", text)
