// The unmodified clients of OpenAI, Mistral and the AI SDK, on one address.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createMistral } from "@ai-sdk/mistral";
import { Mistral } from "@mistralai/mistralai";
import { HTTPValidationError } from "@mistralai/mistralai/models/errors";
import { embedMany, generateText, streamText, tool, jsonSchema } from "ai";
import OpenAI from "openai";

const url = process.env.OCTROI_URL;
const model = "mistral-small-latest";
const messages = (content) => [{ role: "user", content }];
const card = "my card is 4111 1111 1111 1111";

const clients = (url) => ({
  openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: "not-checked", maxRetries: 0 }),
  mistral: new Mistral({ serverURL: url, apiKey: "not-checked" }),
});
const { openai, mistral } = clients(url);
const failing = clients(process.env.OCTROI_FAILING_URL);
const ai = createMistral({ baseURL: `${url}/v1`, apiKey: "not-checked" });

test("openai is answered, whole and streamed", async () => {
  const whole = await openai.chat.completions.create({ model, messages: messages("Hello") });
  assert.match(whole.choices[0].message.content, /Hello/);
  const options = { model, messages: messages("Hello"), stream: true, stream_options: { include_usage: true } };
  let text = "";
  let last;
  for await (const chunk of await openai.chat.completions.create(options)) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  assert.match(text, /Hello/);
  assert.ok(last.choices.length === 0 && last.usage.total_tokens > 0, JSON.stringify(last));
});

test("openai is told which policy refused it", async () => {
  const refused = openai.chat.completions.create({ model, messages: messages(card) });
  await assert.rejects(refused, (error) => error.status === 400 && error.error.policy === "pii");
});

test("openai embeds and moderates", async () => {
  const vectors = await openai.embeddings.create({ model: "mistral-embed", input: ["Hello", "world"] });
  assert.equal(vectors.data.length, 2);
  const judged = await openai.moderations.create({ input: "Hello" });
  assert.equal(typeof judged.results[0].flagged, "boolean");
});

test("mistral is answered, whole and streamed", async () => {
  const whole = await mistral.chat.complete({ model, messages: messages("Bonjour") });
  assert.match(whole.choices[0].message.content, /Bonjour/);
  let text = "";
  let usage;
  for await (const event of await mistral.chat.stream({ model, messages: messages("Bonjour") })) {
    text += event.data.choices[0].delta.content ?? "";
    usage = event.data.usage ?? usage;
  }
  assert.match(text, /Bonjour/);
  assert.ok(usage.totalTokens > 0);
});

test("mistral fills in, embeds and moderates", async () => {
  const filled = await mistral.fim.complete({ model: "codestral-latest", prompt: "function add(", suffix: "}" });
  assert.ok(filled.choices[0].message.content);
  const vectors = await mistral.embeddings.create({ model: "mistral-embed", inputs: ["Hello"] });
  assert.equal(vectors.data.length, 1);
  const judged = await mistral.classifiers.moderate({ model: "mistral-moderation-latest", inputs: ["Hello"] });
  assert.equal(judged.results.length, 1);
});

test("the AI SDK is answered, whole and streamed", async () => {
  const whole = await generateText({ model: ai(model), prompt: "Hello", maxRetries: 0 });
  assert.match(whole.text, /Hello/);
  const streamed = streamText({ model: ai(model), prompt: "Hello jane.doe@example.org", maxRetries: 0 });
  let text = "";
  for await (const piece of streamed.textStream) text += piece;
  assert.match(text, /\[EMAIL\]/);
  assert.equal(await streamed.finishReason, "stop");
  const { embeddings } = await embedMany({ model: ai.textEmbeddingModel("mistral-embed"), values: ["Hello", "world"] });
  assert.equal(embeddings.length, 2);
});

test("the AI SDK takes tools along", async () => {
  const look = tool({ description: "Looks", inputSchema: jsonSchema({ type: "object", properties: {} }) });
  const answer = await generateText({ model: ai(model), prompt: "Look", tools: { look }, toolChoice: "required", maxRetries: 0 });
  assert.equal(answer.toolCalls[0].toolName, "look");
});

const pixel = "data:image/png;base64,iVBORw0KGgo=";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];

test("both are answered in JSON", async () => {
  for (const format of [{ type: "json_object" }, { type: "json_schema", json_schema: { name: "town", schema } }]) {
    const options = { model, messages: messages("A town, as JSON"), response_format: format };
    const one = JSON.parse((await openai.chat.completions.create(options)).choices[0].message.content);
    const responseFormat = format.json_schema
      ? { type: format.type, jsonSchema: { name: "town", schemaDefinition: schema } }
      : format;
    const completion = await mistral.chat.complete({ model, messages: options.messages, responseFormat });
    const two = JSON.parse(completion.choices[0].message.content);
    for (const answer of [one, two]) {
      if (format.json_schema) assert.equal(typeof answer.city, "string");
      else assert.ok(answer && typeof answer === "object" && !Array.isArray(answer), `${answer}`);
    }
  }
});

test("both show an image", async () => {
  const text = { type: "text", text: "What is it?" };
  const one = await openai.chat.completions.create({
    model,
    messages: messages([text, { type: "image_url", image_url: { url: pixel } }]),
  });
  const two = await mistral.chat.complete({ model, messages: messages([text, { type: "image_url", imageUrl: pixel }]) });
  assert.ok(one.usage.prompt_tokens > 200);
  assert.equal(one.usage.prompt_tokens, two.usage.promptTokens);
});

test("both read what comes with reasoning", async () => {
  const options = { model, messages: messages("Why?"), reasoning_effort: "high" };
  const { message } = (await openai.chat.completions.create(options)).choices[0];
  assert.ok(message.reasoning_content && message.content.includes("Why?"));
  let thought = "";
  for await (const chunk of await openai.chat.completions.create({ ...options, stream: true })) {
    thought += chunk.choices[0].delta.reasoning_content ?? "";
  }
  assert.equal(thought, message.reasoning_content);
  const asked = { model, messages: messages("Why?"), reasoningEffort: "high" };
  assert.equal((await mistral.chat.complete(asked)).choices[0].message.content, message.content);
  let text = "";
  for await (const event of await mistral.chat.stream(asked)) text += event.data.choices[0].delta.content ?? "";
  assert.equal(text, message.content);
});

test("clients made for mistral read reasoning in the content, and send it back", async () => {
  const headers = { "X-Octroi-Reasoning": "content" };
  const options = { fetchOptions: { headers } };
  const asked = { model, messages: messages("Why?"), reasoningEffort: "high" };
  const { message } = (await mistral.chat.complete(asked, options)).choices[0];
  const [thought, text] = message.content;
  assert.ok(thought.type === "thinking" && thought.thinking[0].text, JSON.stringify(message));
  assert.ok(text.type === "text" && text.text.includes("Why?"), JSON.stringify(message));
  let streamed = "";
  for await (const event of await mistral.chat.stream(asked, options)) {
    const { content } = event.data.choices[0].delta;
    if (Array.isArray(content)) for (const part of content) streamed += part.thinking?.[0]?.text ?? "";
  }
  assert.equal(streamed, thought.thinking[0].text);
  const history = [...asked.messages, message, ...messages("And then?")];
  assert.ok((await mistral.chat.complete({ ...asked, messages: history }, options)).choices.length);

  const reasoning = createMistral({ baseURL: `${url}/v1`, apiKey: "not-checked", headers });
  const call = { model: reasoning(model), prompt: "Why?", maxRetries: 0 };
  const providerOptions = { mistral: { reasoningEffort: "high" } };
  const whole = await generateText({ ...call, providerOptions });
  assert.equal(whole.reasoningText, thought.thinking[0].text);
  const pieces = streamText({ ...call, providerOptions });
  assert.equal(await pieces.reasoningText, whole.reasoningText);
  assert.equal(await pieces.text, whole.text);
});

test("both read streamed calls", async () => {
  const stream = openai.chat.completions.stream({ model, messages: messages("Weather?"), tools, tool_choice: "required" });
  const [call] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
  assert.equal(call.function.name, "weather");
  assert.ok("city" in JSON.parse(call.function.arguments));
  let calls = [];
  for await (const event of await mistral.chat.stream({ model, messages: messages("Weather?"), tools, toolChoice: "any" })) {
    calls.push(...(event.data.choices[0].delta.toolCalls ?? []));
  }
  assert.equal(calls[0].function.name, "weather");
  assert.ok("city" in JSON.parse(calls.map((call) => call.function.arguments).join("")));
});

test("both throw what Mistral refuses", async () => {
  const of = (text) => ({ model, messages: messages(text) });
  await assert.rejects(
    failing.openai.chat.completions.create(of("invalid")),
    (error) => error instanceof OpenAI.UnprocessableEntityError && /at most 1.5/.test(error.message),
  );
  await assert.rejects(
    failing.openai.chat.completions.create(of("too often")),
    (error) => error instanceof OpenAI.RateLimitError && error.headers.get("retry-after") === "70",
  );
  await assert.rejects(
    failing.mistral.chat.complete(of("invalid")),
    (error) => error instanceof HTTPValidationError && /at most 1.5/.test(error.detail[0].msg),
  );
  await assert.rejects(failing.mistral.chat.complete(of("too often")), (error) => error.statusCode === 429);
});

test("both throw where a stream breaks off", async () => {
  const broken = { model, messages: messages("break off") };
  let text = "";
  await assert.rejects(async () => {
    for await (const chunk of await failing.openai.chat.completions.create({ ...broken, stream: true })) {
      text += chunk.choices[0].delta.content ?? "";
    }
  });
  assert.match(text, /^word /);
  await assert.rejects(async () => {
    for await (const event of await failing.mistral.chat.stream(broken)) {
      assert.ok(!event.data.choices[0].finishReason);
    }
  });
});
