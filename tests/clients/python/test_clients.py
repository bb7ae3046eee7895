"""LangChain's, LiteLLM's and AxonFlow's unmodified clients in front of a gateway, whose address is OCTROI_URL."""

import asyncio
import os
from pathlib import Path

import httpx
import litellm
import openai
import pytest
from axonflow_litellm import ApprovalRejected, AxonFlowLogger, AxonFlowLoggerConfig, PolicyDeniedError
from langchain_mistralai import ChatMistralAI
from langchain_openai import OpenAIEmbeddings
from pydantic import BaseModel

URL = os.environ["OCTROI_URL"]
# LangChain's tokenizer would fetch its vocabulary; LiteLLM comes with it.
os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers")
MODEL = "mistral-small-latest"
CARD = "my card is 4111 1111 1111 1111"


def said(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def langchain():
    return ChatMistralAI(model=MODEL, endpoint=f"{URL}/v1", api_key="not-checked", max_retries=1)


@pytest.fixture(params=["mistral", "openai"])
def lite(request):
    """LiteLLM speaks either dialect."""

    def complete(**options):
        return litellm.completion(
            model=f"{request.param}/{MODEL}", api_base=f"{URL}/v1", api_key="not-checked", num_retries=0, **options
        )

    return complete


def test_langchain_is_answered(langchain):
    answer = langchain.invoke("Hello")
    assert "Hello" in answer.content
    assert answer.usage_metadata["total_tokens"] > 0


def test_langchain_streams(langchain):
    pieces = list(langchain.stream("Hello jane.doe@example.org"))
    assert "[EMAIL]" in "".join(piece.content for piece in pieces)


def test_langchain_calls_tools(langchain):
    class Look(BaseModel):
        """Looks."""

        at: str

    answer = langchain.bind_tools([Look], tool_choice="any").invoke("Look")
    assert answer.tool_calls[0]["name"] == "Look"


def test_langchain_embeds_what_it_sends_as_tokens():
    client = OpenAIEmbeddings(model="text-embedding-3-small", base_url=f"{URL}/v1", api_key="not-checked", max_retries=0)
    text = "Grüße aus Köln, mail jane.doe@example.org 🙂"
    [of_tokens, _] = client.embed_documents([text, "another"])
    [of_text] = client.model_copy(update={"check_embedding_ctx_length": False}).embed_documents([text])
    assert of_tokens == pytest.approx(of_text, abs=1e-6)
    with pytest.raises(openai.BadRequestError) as refused:
        client.embed_query("x'; DROP TABLE users; --")
    assert refused.value.body["type"] == "policy_violation"


def test_langchain_is_told_of_a_refusal(langchain):
    with pytest.raises(Exception, match="blocked by policy: pii"):
        langchain.invoke(CARD)


def test_litellm_is_answered(lite):
    answer = lite(messages=said("Hello"))
    assert "Hello" in answer.choices[0].message.content
    assert answer.usage.total_tokens > 0


def test_litellm_streams(lite):
    pieces = list(lite(messages=said("Hello jane.doe@example.org"), stream=True))
    assert "[EMAIL]" in "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_litellm_is_told_of_a_refusal(lite):
    with pytest.raises(litellm.BadRequestError, match="blocked by policy: pii"):
        lite(messages=said(CARD))


def test_litellm_embeds():
    answer = litellm.embedding(
        model="mistral/mistral-embed", input=["Hello", "world"], api_base=f"{URL}/v1", api_key="not-checked"
    )
    assert len(answer.data) == 2


@pytest.fixture(params=[None, "octroi"])
def governed(request, monkeypatch):
    """AxonFlow's plug-in for LiteLLM; with an audience it says that it cannot mask."""
    if request.param:
        monkeypatch.setenv("AXONFLOW_PEP_AUDIENCE", request.param)
    client = f"litellm-{request.param}"
    config = AxonFlowLoggerConfig(endpoint=URL, client_id=client, fail_open=False, call_timeout_seconds=120)
    logger = AxonFlowLogger(config)

    def complete(text):
        return logger.completion(
            model=f"mistral/{MODEL}", api_base=f"{URL}/v1", api_key="not-checked", messages=said(text)
        )

    return complete, request.param, client


def test_axonflows_plugin_asks_and_reports(governed):
    complete, _, client = governed
    assert complete("Hello").choices[0].message.content
    search = {"limit": 1, "request_type": "llm-call"}
    entries = httpx.post(f"{URL}/api/v1/audit/search", json=search, headers={"X-Client-ID": client}).json()["entries"]
    assert entries[0]["model"] == f"mistral/{MODEL}" and entries[0]["tokens_used"] > 0, entries


def test_axonflows_plugin_is_told_of_a_refusal(governed):
    complete, _, _ = governed
    with pytest.raises(PolicyDeniedError, match="blocked by policy: pii"):
        complete(CARD)


def test_axonflows_plugin_is_refused_what_it_says_it_cannot_mask(governed):
    complete, cannot_mask, _ = governed
    if cannot_mask:
        with pytest.raises(PolicyDeniedError, match="cannot_redact"):
            complete("Write to jane.doe@example.org")
    else:
        assert complete("Write to jane.doe@example.org").choices


def test_what_waits_for_approval_does_not_lead_axonflows_plugin_past_the_policies():
    """It asks for a place in the approval queue. Answers that it takes for failures would open its breaker."""
    rule = {"name": "Ask first", "category": "plans", "pattern": "launch plan", "action": "require_approval"}
    made = httpx.post(
        f"{URL}/api/v1/static-policies", json=rule, headers={"X-Client-ID": "litellm"}, timeout=120
    )
    assert made.status_code == 201, made.text
    config = AxonFlowLoggerConfig(endpoint=URL, client_id="litellm", fail_open=True, call_timeout_seconds=120)
    logger = AxonFlowLogger(config)

    async def work():
        def ask(text):
            return logger.acompletion(
                model=f"mistral/{MODEL}", api_base=f"{URL}/v1", api_key="not-checked", messages=said(text)
            )

        refused = await asyncio.gather(*[ask("Send the launch plan") for _ in range(8)], return_exceptions=True)
        assert [type(it) for it in refused] == [ApprovalRejected] * 8, refused
        with pytest.raises(PolicyDeniedError, match="blocked by policy: pii"):
            await ask(CARD)

    asyncio.run(work())
