// The unmodified clients of OpenAI, Mistral and the AI SDK, on one address.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createMistral } from "@ai-sdk/mistral";
import { Mistral } from "@mistralai/mistralai";
import { embedMany, generateText, streamText, tool, jsonSchema } from "ai";
import OpenAI from "openai";

const url = process.env.OCTROI_URL;
const model = "mistral-small-latest";
const messages = (content) => [{ role: "user", content }];
const card = "my card is 4111 1111 1111 1111";

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "not-checked", maxRetries: 0 });
const mistral = new Mistral({ serverURL: url, apiKey: "not-checked" });
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
