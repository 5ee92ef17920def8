"""Fields are found the same in a client's objects, models of pydantic's, and dicts."""

from enum import Enum
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import burnline_llm as llm
import pytest
from burnline_llm._fields import fields_of, get
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, ConfigDict

from tests.instrumentation.telemetry import Seen


class Plain(BaseModel):
    model_config = ConfigDict(extra="allow")
    usage: dict[str, int] | None = None


class WithProperties(BaseModel):
    id: str

    @property
    def usage(self) -> dict[str, int]:
        return {"input_tokens": 1}

    @cached_property
    def status(self) -> str:
        return "done"


class Odd(BaseModel):
    def __getattr__(self, name: str) -> Any:
        return f"odd {name}"


@pytest.mark.parametrize(
    ("thing", "name", "value"),
    [
        ({"usage": 1}, "usage", 1),
        ({}, "usage", None),
        (None, "usage", None),
        ("text", "usage", None),
        (SimpleNamespace(usage=1), "usage", 1),
        (SimpleNamespace(), "usage", None),
        (Plain(usage={}), "usage", {}),
        (Plain(), "usage", None),
        (Plain(), "new", None),
        (Plain(new=3), "new", 3),
        (Plain.model_construct(), "usage", None),
        (WithProperties(id="a"), "id", "a"),
        (WithProperties(id="a"), "usage", {"input_tokens": 1}),
        (WithProperties(id="a"), "status", "done"),
        (WithProperties(id="a"), "none", None),
        (Odd(), "usage", "odd usage"),
    ],
)
def test_a_field(thing: Any, name: str, value: Any) -> None:
    for _ in range(2):  # a class is known from the second time on
        assert get(thing, name) == value
        assert get(fields_of(thing), name) == value


def test_openai_chunks_are_read_from_their_dict() -> None:
    chunk = ChatCompletionChunk.construct(id="c", choices=[], obfuscation="x")
    assert fields_of(chunk).__class__ is dict
    assert get(fields_of(chunk), "obfuscation") == "x"
    assert get(chunk, "usage") is None


class Reason(str, Enum):  # noqa: UP042 - google-genai's are so
    STOP = "STOP"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["STOP", Reason.STOP])
def test_googles_json_and_enumerations(told: Seen, *, stream: bool, reason: str) -> None:
    answer = {
        "candidates": [{"finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
        "modelVersion": "gemini-2.5-flash-001",
        "responseId": "r1",
    }
    with llm.call(provider="gcp.gemini", model="gemini-2.5-flash") as call:
        if stream:
            call.chunk(answer)
        else:
            call.response(answer)
    attributes = told.span.attributes
    assert attributes["gen_ai.response.model"] == "gemini-2.5-flash-001"
    assert attributes["gen_ai.response.id"] == "r1"
    assert attributes["gen_ai.usage.output_tokens"] == 5
    assert [kind.__class__ for kind in attributes["gen_ai.response.finish_reasons"]] == [str]
