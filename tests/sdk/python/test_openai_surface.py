"""The unmodified Python clients of OpenAI and Mistral, on one address."""

import json

import httpx
import mistralai.client
import mistralai.client.errors
import openai
import pydantic
import pytest
from test_sdk import failing, gateway  # noqa: F401

MODEL = "mistral-small-latest"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
CARD = "my card is 4111 1111 1111 1111"


def said(text):
    return [{"role": "user", "content": text}]


@pytest.fixture
def of_openai(gateway):  # noqa: F811
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="not-checked", max_retries=0)


@pytest.fixture
def of_mistral(gateway):  # noqa: F811
    return mistralai.client.Mistral(api_key="not-checked", server_url=gateway)


@pytest.fixture
def failing_openai(failing):  # noqa: F811
    return openai.OpenAI(base_url=f"{failing}/v1", api_key="not-checked", max_retries=0)


@pytest.fixture
def failing_mistral(failing):  # noqa: F811
    return mistralai.client.Mistral(api_key="not-checked", server_url=failing)


def test_openais_client_is_answered(of_openai):
    answer = of_openai.chat.completions.with_raw_response.create(model=MODEL, messages=said("Hello"), seed=3)
    assert answer.headers["x-octroi-provider"] == "mistral"
    completion = answer.parse()
    assert completion._request_id == answer.headers["x-octroi-request-id"]
    assert "Hello" in completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0


def test_openais_client_is_told_which_policy_refused_it(of_openai):
    with pytest.raises(openai.BadRequestError) as refused:
        of_openai.chat.completions.create(model=MODEL, messages=said(CARD))
    assert (refused.value.type, refused.value.code) == ("policy_violation", "policy_denied")
    assert refused.value.request_id.startswith("req_")
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


def test_mistrals_client_reads_reasoning_in_the_content_and_sends_it_back(of_mistral):
    asked = {"model": MODEL, "reasoning_effort": "high", "http_headers": {"X-Octroi-Reasoning": "content"}}
    message = of_mistral.chat.complete(messages=said("Why?"), **asked).choices[0].message
    thought, text = message.content
    assert thought.thinking[0].text and "Why?" in text.text
    streamed = ""
    for event in of_mistral.chat.stream(messages=said("Why?"), **asked):
        content = event.data.choices[0].delta.content
        if isinstance(content, list):
            streamed += "".join(part.thinking[0].text for part in content if part.type == "thinking" and part.thinking)
    assert streamed == thought.thinking[0].text
    assert of_mistral.chat.complete(messages=[*said("Why?"), message, *said("And then?")], **asked).choices


def test_both_clients_moderate(of_openai, of_mistral):
    assert isinstance(of_openai.moderations.create(input="Hello", model="mistral-moderation-latest").results[0].flagged, bool)
    judged = of_mistral.classifiers.moderate(model="mistral-moderation-latest", inputs=["Hello", "world"])
    assert len(judged.results) == 2


class Town(pydantic.BaseModel):
    city: str


def test_openais_client_is_answered_in_json(of_openai):
    mode = {"type": "json_object"}
    completion = of_openai.chat.completions.create(model=MODEL, messages=said("A town, as JSON"), response_format=mode)
    assert isinstance(json.loads(completion.choices[0].message.content), dict)
    completion = of_openai.chat.completions.parse(model=MODEL, messages=said("A town"), response_format=Town)
    assert isinstance(completion.choices[0].message.parsed, Town)


def test_openais_client_knows_a_models_refusal(failing_openai):
    completion = failing_openai.chat.completions.parse(model=MODEL, messages=said("refuse"), response_format=Town)
    message = completion.choices[0].message
    assert (message.refusal, message.content, message.parsed) == ("I cannot.", None, None)


def test_mistrals_client_is_answered_in_json(of_mistral):
    schema = {"name": "town", "schema_definition": SCHEMA}

    def answer(form):
        completion = of_mistral.chat.complete(model=MODEL, messages=said("A town, as JSON"), response_format=form)
        return json.loads(completion.choices[0].message.content)

    assert isinstance(answer({"type": "json_object"}), dict)
    assert isinstance(answer({"type": "json_schema", "json_schema": schema})["city"], str)


def test_both_clients_show_an_image(of_openai, of_mistral):
    text = {"type": "text", "text": "What is it?"}
    shown = [{"role": "user", "content": [text, {"type": "image_url", "image_url": {"url": PIXEL}}]}]
    one = of_openai.chat.completions.create(model=MODEL, messages=shown)
    shown = [{"role": "user", "content": [text, {"type": "image_url", "image_url": PIXEL}]}]
    two = of_mistral.chat.complete(model=MODEL, messages=shown)
    # An image has its tokens.
    assert one.usage.prompt_tokens == two.usage.prompt_tokens > 200


def test_openais_client_reads_reasoning(of_openai):
    asked = {"model": MODEL, "messages": said("Why?"), "reasoning_effort": "high"}
    message = of_openai.chat.completions.create(**asked).choices[0].message
    assert message.reasoning_content and "Why?" in message.content
    deltas = [chunk.choices[0].delta for chunk in of_openai.chat.completions.create(**asked, stream=True) if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content


def test_mistrals_client_reads_what_comes_with_reasoning(of_mistral):
    asked = {"model": MODEL, "messages": said("Why?"), "reasoning_effort": "high"}
    content = of_mistral.chat.complete(**asked).choices[0].message.content
    assert "Why?" in content
    events = list(of_mistral.chat.stream(**asked))
    assert "".join(event.data.choices[0].delta.content or "" for event in events) == content


def test_openais_client_puts_streamed_calls_together(of_openai):
    asked = {"model": MODEL, "messages": said("Weather?"), "tools": TOOLS, "tool_choice": "required"}
    with of_openai.chat.completions.stream(**asked) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather" and "city" in json.loads(call.function.arguments)
    answer = {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}
    turn = {"role": "assistant", "tool_calls": [call.model_dump(include={"id": True, "type": True, "function": {"name", "arguments"}})]}
    asked = {"model": MODEL, "messages": [*said("Weather?"), turn, answer], "tools": TOOLS}
    assert of_openai.chat.completions.create(**asked).choices[0].finish_reason == "stop"


def test_mistrals_client_reads_streamed_calls(of_mistral):
    asked = {"model": MODEL, "messages": said("Weather?"), "tools": TOOLS, "tool_choice": "any"}
    choices = [event.data.choices[0] for event in of_mistral.chat.stream(**asked)]
    assert choices[-1].finish_reason == "tool_calls"
    calls = [call for choice in choices for call in choice.delta.tool_calls or []]
    assert calls[0].function.name == "weather"
    assert "city" in json.loads("".join(call.function.arguments for call in calls))


def test_openais_client_raises_what_mistral_refuses(failing_openai):
    with pytest.raises(openai.UnprocessableEntityError, match="at most 1.5"):
        failing_openai.chat.completions.create(model=MODEL, messages=said("invalid"))
    with pytest.raises(openai.RateLimitError) as refused:
        failing_openai.chat.completions.create(model=MODEL, messages=said("too often"))
    assert refused.value.response.headers["retry-after"] == "70"


def test_mistrals_client_raises_what_mistral_refuses(failing_mistral):
    with pytest.raises(mistralai.client.errors.HTTPValidationError) as invalid:
        failing_mistral.chat.complete(model=MODEL, messages=said("invalid"))
    assert "at most 1.5" in invalid.value.data.detail[0].msg
    with pytest.raises(mistralai.client.errors.SDKError) as refused:
        failing_mistral.chat.complete(model=MODEL, messages=said("too often"))
    assert (refused.value.status_code, refused.value.headers["retry-after"]) == (429, "70")


def test_openais_client_raises_where_a_stream_breaks_off(failing_openai):
    text = ""
    with pytest.raises(openai.APIError):
        for chunk in failing_openai.chat.completions.create(model=MODEL, messages=said("break off"), stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text.startswith("word ")


def test_mistrals_client_raises_where_a_stream_breaks_off(failing_mistral):
    with pytest.raises((mistralai.client.errors.MistralError, httpx.RemoteProtocolError)):
        for event in failing_mistral.chat.stream(model=MODEL, messages=said("break off")):
            assert event.data.choices[0].finish_reason is None
