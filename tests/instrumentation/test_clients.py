"""Answers of the real clients of OpenAI and Anthropic, plain and streamed, from a provider on loopback."""

import asyncio
from collections.abc import Iterator

import anthropic
import burnline_llm as llm
import openai
import pytest
from opentelemetry.trace import StatusCode

from tests.instrumentation.provider import Provider
from tests.instrumentation.telemetry import Seen

MESSAGES = [{"role": "user", "content": "a secret question"}]
# By convention: cached tokens are among the input, reasoning among the output.
OPENAI_TOKENS = {
    "input_tokens": 1000,
    "output_tokens": 200,
    "cache_read.input_tokens": 400,
    "reasoning.output_tokens": 50,
}
ANTHROPIC_TOKENS = {
    "input_tokens": 1000,
    "output_tokens": 60,
    "cache_read.input_tokens": 700,
    "cache_write.input_tokens": 200,
}


@pytest.fixture(scope="module")
def gpt(server: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(server: Provider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0) as client:
        yield client


def tokens(told: Seen) -> dict[str, object]:
    usage = "gen_ai.usage."
    got = {k.removeprefix(usage): v for k, v in told.span.attributes.items() if k.startswith(usage)}
    return {kind: count for kind, count in got.items() if count}


def chat(gpt: openai.OpenAI, model: str = "gpt-4o", **options: object) -> object:
    with llm.call(provider="openai", model=model) as call:
        answer = gpt.chat.completions.create(model=model, messages=MESSAGES, **options)
        if options.get("stream"):
            return call.stream(answer)
        call.response(answer)
        return answer


def test_openai_chat(told: Seen, gpt: openai.OpenAI) -> None:
    chat(gpt)
    assert tokens(told) == OPENAI_TOKENS
    span = told.span.attributes
    assert span["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert span["gen_ai.response.id"] == "chatcmpl-1"
    assert span["gen_ai.response.finish_reasons"] == ("stop",)
    # 600 fresh at 2.50, 400 cached at 1.25, 200 of output at 10 dollars a million
    assert span["burnline.cost.usd"] == pytest.approx(0.004)
    assert "secret" not in told.span.to_json()


def test_openai_stream(told: Seen, gpt: openai.OpenAI) -> None:
    options = {"include_usage": True}
    with chat(gpt, stream=True, stream_options=options) as stream:
        assert stream.response.status_code == 200  # the client's stream is still there
        assert sum(1 for _ in stream) == 5
    assert tokens(told) == OPENAI_TOKENS
    span = told.span.attributes
    assert span["gen_ai.response.finish_reasons"] == ("length",)
    assert 0 < span["gen_ai.response.time_to_first_chunk"] < told.span.end_time
    (point,) = told.points("gen_ai.client.operation.time_per_output_chunk")
    assert point.count == 4
    assert told.points("gen_ai.client.operation.time_to_first_chunk")[0].count == 1


def test_openai_stream_without_usage_is_unpriced(told: Seen, gpt: openai.OpenAI) -> None:
    for _ in chat(gpt, stream=True):
        pass
    assert tokens(told) == {}
    assert told.span.attributes["burnline.cost.unpriced"] == "usage"


def test_a_stream_that_breaks_off_is_an_error(told: Seen, gpt: openai.OpenAI) -> None:
    stream = chat(gpt, "gpt-4o-broken", stream=True)
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    assert told.span.status.status_code is StatusCode.ERROR
    assert told.span.attributes["error.type"] == "openai.APIConnectionError"
    assert told.span.attributes["gen_ai.response.model"] == "gpt-4o-broken-2024-08-06"


@pytest.mark.parametrize(
    ("code", "kind"), [(429, "openai.RateLimitError"), (500, "openai.InternalServerError")]
)
def test_openai_errors(told: Seen, gpt: openai.OpenAI, code: int, kind: str) -> None:
    with pytest.raises(openai.APIStatusError):
        chat(gpt, f"gpt-4o-{code}")
    assert told.span.attributes["error.type"] == kind
    assert told.span.attributes["http.response.status_code"] == code
    assert "secret" not in told.span.to_json()


def test_openai_responses(told: Seen, gpt: openai.OpenAI) -> None:
    with llm.call(provider="openai", model="gpt-4o") as call:
        call.response(gpt.responses.create(model="gpt-4o", input="q"))
    assert tokens(told) == OPENAI_TOKENS
    assert told.span.attributes["gen_ai.response.finish_reasons"] == ("completed",)
    assert told.span.attributes["openai.response.service_tier"] == "default"
    assert told.span.attributes["burnline.cost.usd"] == pytest.approx(0.004)


def test_openai_responses_stream(told: Seen, gpt: openai.OpenAI) -> None:
    with llm.call(provider="openai", model="gpt-4o") as call:
        stream = call.stream(gpt.responses.create(model="gpt-4o", input="q", stream=True))
    assert sum(1 for _ in stream) == 3
    assert tokens(told) == OPENAI_TOKENS
    assert told.span.attributes["gen_ai.response.id"] == "resp_1"


def test_openai_embeddings(told: Seen, gpt: openai.OpenAI) -> None:
    model = "text-embedding-3-small"
    with llm.embeddings(provider="openai", model=model) as call:
        call.response(gpt.embeddings.create(model=model, input="q"))
    assert tokens(told) == {"input_tokens": 8}
    assert told.span.attributes["burnline.cost.usd"] == pytest.approx(8 * 0.02e-6)


def test_anthropic(told: Seen, claude: anthropic.Anthropic) -> None:
    model = "claude-sonnet-4-6"
    with llm.call(provider="anthropic", model=model) as call:
        call.response(claude.messages.create(model=model, max_tokens=9, messages=MESSAGES))
    assert tokens(told) == ANTHROPIC_TOKENS
    assert told.span.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    # 100 fresh at 3, 700 read at 0.30, 200 written at 3.75, 60 of output at 15 dollars a million
    assert told.span.attributes["burnline.cost.usd"] == pytest.approx(0.00216)


@pytest.mark.parametrize("kind", ["create", "stream"])
def test_anthropic_stream(told: Seen, claude: anthropic.Anthropic, kind: str) -> None:
    model = "claude-sonnet-4-6"
    with llm.call(provider="anthropic", model=model) as call:
        if kind == "create":
            source = claude.messages.create(
                model=model, max_tokens=9, messages=MESSAGES, stream=True
            )
            events = call.stream(source)
            assert sum(1 for _ in events) == 6
        else:
            with claude.messages.stream(model=model, max_tokens=9, messages=MESSAGES) as source:
                events = call.stream(source)
                assert sum(1 for _ in events) >= 6
    assert tokens(told) == ANTHROPIC_TOKENS
    assert told.span.attributes["gen_ai.response.finish_reasons"] == ("max_tokens",)


def test_async_clients(told: Seen, server: Provider) -> None:
    @llm.observe(provider="openai")
    async def ask(client: openai.AsyncOpenAI, model: str) -> object:
        return await client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )

    async def main() -> int:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x") as client:
            return len([chunk async for chunk in await ask(client, "gpt-4o")])

    assert asyncio.run(main()) == 5
    assert tokens(told) == OPENAI_TOKENS


def test_attribution_reaches_the_next_service(told: Seen, server: Provider) -> None:
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="x") as client,
        llm.attributed(tenant="acme"),
        llm.call(provider="openai", model="gpt-4o") as call,
    ):
        answer = client.chat.completions.create(
            model="gpt-4o", messages=MESSAGES, extra_headers=llm.inject({})
        )
        call.response(answer)
    sent = server.headers_seen[-1]
    with llm.extract(sent), llm.tool("next"):
        pass
    first, second = told.spans
    assert second.context.trace_id == first.context.trace_id
    assert second.parent.span_id == first.context.span_id
    assert second.attributes["tenant.id"] == "acme"
    assert told.value("llm_tenant_cost_dollars_total", tenant="acme") == pytest.approx(0.004)
