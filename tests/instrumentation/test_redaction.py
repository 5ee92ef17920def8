"""What is redacted, what is not, and that it takes no more than linear time."""

import json

import pytest
from burnline_llm._content import INPUT_MESSAGES, OUTPUT_MESSAGES, capturing
from burnline_llm._redaction import LONGEST, bounded, default_redactor
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

SECRETS = [
    ("ada.lovelace+x@mail.example.org", "[email]"),
    ("+49 170 1234567", "[phone]"),
    ("(415) 555-2671", "[phone]"),
    ("5500 0000 0000 0004", "[card]"),
    ("DE89 3704 0044 0532 0130 00", "[iban]"),
    ("10.20.30.40", "[ip]"),
    ("sk-proj-abcdefghijklmnop", "[key]"),
    ("sk-ant-api03-abcdefghijklmnop", "[key]"),
    ("AKIAIOSFODNN7EXAMPLE", "[key]"),
    ("ghp_abcdefghijklmnopqrstuvwx", "[key]"),
    ("Bearer abcdefghijkl", "Bearer [secret]"),
    ('"api_key": "hunter2222"', '"api_key": "[secret]"'),
    ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "[token]"),
    ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "[private key]"),
]


@pytest.mark.parametrize(("secret", "instead"), SECRETS, ids=[one for _, one in SECRETS])
def test_secrets_go_wherever_they_stand(secret: str, instead: str) -> None:
    assert default_redactor(f"before {secret} after") == f"before {instead} after"
    assert default_redactor(secret) == instead


@pytest.mark.parametrize(
    "text",
    [
        "on 2026-11-28 at 17:00:01 we sold 1,234,567.89",
        "order 4111 1111 1111 1112",  # no card: its check digit is wrong
        "task-force, ask-me, version 1.2.3, sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15",
        "tokens: 12, a token bucket",
        "日本語のテキスト",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert default_redactor(text) == text


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = default_redactor(text)
    assert default_redactor(once) == once


def test_a_text_is_cut_after_it_was_redacted() -> None:
    text = "x" * (LONGEST - 5) + " ada@example.org " + "y" * 40_000
    span = TracerProvider().get_tracer("t").start_span("s")
    capturing(default_redactor)(span, text, None)
    (message,) = json.loads(span.attributes[INPUT_MESSAGES])
    assert "ada" not in message["parts"][0]["content"]
    assert len(message["parts"][0]["content"]) < LONGEST + 40
    assert bounded("short") == "short"


def test_every_text_of_every_shape_passes_the_redactor() -> None:
    span = TracerProvider().get_tracer("t").start_span("s")
    asked = [
        {"role": "system", "content": "a"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "image_url": {"url": "a"}},
            ],
        },
        {"role": "tool", "content": {"a": ["a", 1, None, {"a": "a"}]}},
        "a",
        7,
    ]
    seen: list[str] = []

    def redactor(text: str) -> str:
        seen.append(text)
        return text.replace("a", "[x]")

    capturing(redactor)(span, asked, "a")
    written = json.loads(span.attributes[INPUT_MESSAGES])
    assert [message["role"] for message in written] == ["system", "user", "tool", "user", "user"]
    contents = json.dumps([[p["content"] for p in m["parts"]] for m in written])
    assert "a" not in contents.replace("image_url", "").replace("[x]", "")
    assert json.loads(span.attributes[OUTPUT_MESSAGES])[0]["parts"][0]["content"] == "[x]"


def test_a_redactor_that_returns_no_text_is_refused() -> None:
    span = TracerProvider().get_tracer("t").start_span("s")
    with pytest.raises(TypeError, match="returned NoneType"):
        capturing(lambda _text: None)(span, "a", None)  # type: ignore[arg-type, return-value]
    assert INPUT_MESSAGES not in span.attributes
