"""What a person or a model said, made fit to be stored: secrets and personal data out, to a bounded length.

Content is captured only where the application asked for it, and only through a redactor. The default one
knows shapes, not meanings: it finds an address and a card number, and not a name or an illness.
"""

import re
from collections.abc import Callable

Redactor = Callable[[str], str]

LONGEST = 16_384
"""Characters of one captured text; a longer one is cut."""

# Every repetition is bounded and no two neighbours can match the same character, so that time grows with the
# text's length alone.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "[private key]",
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,16384}"
            r"(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
        ),
    ),
    (
        "[token]",
        re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]{8,8192}(?:\.[\w-]{1,4096})?"),  # JSON web token
    ),
    (
        "[key]",
        re.compile(
            r"\b(?:sk|rk|pk)[-_][\w-]{16,256}"  # OpenAI, Anthropic, Stripe
            r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # AWS
            r"|\bgh[pousr]_[A-Za-z0-9]{20,255}"  # GitHub
            r"|\bgithub_pat_\w{20,255}"
            r"|\bglpat-[\w-]{20,64}"  # GitLab
            r"|\bxox[abeprs]-[\w-]{10,255}"  # Slack
            r"|\bAIza[\w-]{35}"  # Google
            r"|\bhf_[A-Za-z0-9]{20,64}"  # Hugging Face
        ),
    ),
    (
        r"\1[secret]",
        re.compile(
            r"(?i)\b((?:bearer|basic)[ \t]{1,4}"
            r"""|(?:api[-_]?key|password|passwd|secret|token)["']?[ \t]{0,4}[:=][ \t]{0,4}["']?)"""
            r"[^\s\"',;]{6,1024}"
        ),
    ),
    (
        "[email]",
        re.compile(r"\b[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"),
    ),
    ("[iban]", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    (
        "[ip]",
        re.compile(
            r"(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.])"
        ),
    ),
)
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_PHONE = re.compile(
    r"(?<![\w+])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
    r"|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})(?!\w)"
)


def default_redactor(text: str) -> str:
    """A text without addresses, numbers of phones, cards and accounts, keys, tokens and passwords.

    >>> default_redactor("write to ada@example.org, my key is sk-proj-0123456789abcdef01")
    'write to [email], my key is [key]'
    >>> default_redactor("card 4111 1111 1111 1111, order 4111 1111 1111 1112")
    'card [card], order 4111 1111 1111 1112'
    """
    for instead, pattern in _PATTERNS:
        text = pattern.sub(instead, text)
    text = _CARD.sub(_card, text)
    return _PHONE.sub("[phone]", text)


def bounded(text: str, longest: int = LONGEST) -> str:
    """A text cut to a length, with a mark where it was cut.

    >>> bounded("abcdef", 4)
    'abcd… (2 more)'
    """
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest} more)"


def _card(match: re.Match[str]) -> str:
    digits = [int(c) for c in match[0] if c.isdigit()]
    return "[card]" if _luhn(digits) else match[0]


def _luhn(digits: list[int]) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    doubled = (
        d if place % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d)
        for place, d in enumerate(reversed(digits))
    )
    return sum(doubled) % 10 == 0
