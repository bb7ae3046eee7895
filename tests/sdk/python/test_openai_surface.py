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
