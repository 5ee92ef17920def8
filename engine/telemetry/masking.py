"""Keeps secrets out of text for people: the log, errors, and whatever else leaves the process."""

import re2  # type: ignore[import-untyped]  # the wheel carries no type hints

MASK = "***"
# A shorter one would blot out half of the log.
_LEAST = 8
_known: tuple[str, ...] = ()


def _compiled(pattern: str) -> "re2._Regexp":
    """By RE2: what is logged may come from strangers, and has to be read in linear time."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


# `//user:password@host`: up to the last @, as a password may hold one unescaped; a user alone can be a token.
_USERINFO = _compiled(r"(://)[^\s\"'<>]*@")
_AUTHORIZATION = _compiled(r"(?i)\b(bearer|basic)(\s+)[^\s\"',;]+")
_QUERY = _compiled(r"(?i)([?&][^=&\s]*(?:token|key|secret|passw|signature)[^=&\s]*=)[^&\s\"'<>]+")


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
    # RE2 takes no half of a surrogate pair.
    text = text.encode("utf-8", "backslashreplace").decode()
    text = _USERINFO.sub(rf"\1{MASK}@", text)
    text = _QUERY.sub(rf"\1{MASK}", text)
    return str(_AUTHORIZATION.sub(rf"\1\2{MASK}", text))
