"""The unmodified Python clients of OpenAI and Mistral, on one address."""

import mistralai.client
import mistralai.client.errors
import openai
import pytest
from test_sdk import gateway  # noqa: F401

MODEL = "mistral-small-latest"
CARD = "my card is 4111 1111 1111 1111"


def said(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def of_openai(gateway):  # noqa: F811
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="not-checked", max_retries=0)


@pytest.fixture
def of_mistral(gateway):  # noqa: F811
    return mistralai.client.Mistral(api_key="not-checked", server_url=gateway)


def test_openais_client_is_answered(of_openai):
    answer = of_openai.chat.completions.with_raw_response.create(model=MODEL, messages=said("Hello"), seed=3)
    assert answer.headers["x-octroi-provider"] == "mistral"
    completion = answer.parse()
    assert "Hello" in completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0


def test_openais_client_is_told_which_policy_refused_it(of_openai):
    with pytest.raises(openai.BadRequestError) as refused:
        of_openai.chat.completions.create(model=MODEL, messages=said(CARD))
    assert refused.value.type == "policy_violation"
    assert (refused.value.body["policy"], refused.value.body["rule"]) == ("pii", "payment-card")


def test_openais_client_lists_models(of_openai):
    assert MODEL in [model.id for model in of_openai.models.list()]
    assert of_openai.models.retrieve(MODEL).owned_by == "mistral"


def test_mistrals_client_is_answered(of_mistral):
    completion = of_mistral.chat.complete(model=MODEL, messages=said("Bonjour"), random_seed=3)
    assert "Bonjour" in completion.choices[0].message.content
    assert completion.usage.total_tokens > 0


def test_mistrals_client_is_told_which_policy_refused_it(of_mistral):
    with pytest.raises(mistralai.client.errors.SDKError, match="blocked by policy: pii") as refused:
        of_mistral.chat.complete(model=MODEL, messages=said(CARD))
    assert refused.value.status_code == 400


def test_mistrals_client_lists_models(of_mistral):
    assert MODEL in [model.id for model in of_mistral.models.list().data]


def test_openais_client_streams(of_openai):
    chunks = list(
        of_openai.chat.completions.create(
            model=MODEL, messages=said("Hello"), stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Hello" in text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0


def test_openais_client_streams_masked_text(of_openai):
    chunks = of_openai.chat.completions.create(
        model=MODEL, messages=said("Say jane.doe@example.org"), stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "[EMAIL]" in text and "jane.doe" not in text


def test_mistrals_client_streams(of_mistral):
    events = list(of_mistral.chat.stream(model=MODEL, messages=said("Bonjour")))
    text = "".join(event.data.choices[0].delta.content or "" for event in events)
    assert "Bonjour" in text
    assert events[-1].data.choices[0].finish_reason == "stop"
    assert events[-1].data.usage.total_tokens > 0


def test_mistrals_client_fills_in(of_mistral):
    completion = of_mistral.fim.complete(model="codestral-latest", prompt="def add(a, b):", suffix="# end")
    assert completion.choices[0].message.content
    events = list(of_mistral.fim.stream(model="codestral-latest", prompt="def add(a, b):"))
    assert events[-1].data.choices[0].finish_reason == "stop"


def test_openais_client_completes(of_openai):
    completion = of_openai.completions.create(model="codestral-latest", prompt="def add(a, b):", suffix="# end")
    assert completion.choices[0].text


def test_both_clients_embed_the_same(of_openai, of_mistral):
    one = of_openai.embeddings.create(model="mistral-embed", input=["Hello", "world"])
    two = of_mistral.embeddings.create(model="mistral-embed", inputs=["Hello", "world"])
    assert len(one.data) == len(two.data) == 2
    # OpenAI's client asks for base64 of 32-bit numbers.
    assert one.data[1].embedding == pytest.approx(two.data[1].embedding, abs=1e-6)
    assert one.usage.total_tokens == two.usage.total_tokens > 0


def test_both_clients_moderate(of_openai, of_mistral):
    assert isinstance(of_openai.moderations.create(input="Hello", model="mistral-moderation-latest").results[0].flagged, bool)
    judged = of_mistral.classifiers.moderate(model="mistral-moderation-latest", inputs=["Hello", "world"])
    assert len(judged.results) == 2
