// What OpenAI's client for JavaScript sees of the server; run by tests/server/clients/test_javascript.py.

import assert from 'node:assert/strict';
import test from 'node:test';
import OpenAI from 'openai';

const model = process.env.TPO_TEST_MODEL;
const client = new OpenAI({ baseURL: process.env.TPO_TEST_URL, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hi' }];
const tpo = { width: 2, depth: 1 };
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const weather = { name: 'weather', description: 'The weather.', parameters, strict: true };

async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test('chat', async () => {
  const answer = await client.chat.completions.create({ model, messages, tpo });
  assert.equal(answer.choices[0].message.content, 'You said: Hi');
});

test('stream', async () => {
  const chunks = await all(await client.chat.completions.create({ model, messages, tpo, stream: true }));
  const deltas = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta));
  assert.equal(deltas.map((delta) => delta.content ?? '').join(''), 'You said: Hi');
  assert.ok(deltas.some((delta) => delta.reasoning_content));
});

test('tools, streamed and put together by the client', async () => {
  const tools = [{ type: 'function', function: weather }];
  const answer = await client.chat.completions.stream({ model, messages, tpo, tools }).finalChatCompletion();
  const call = answer.choices[0].message.tool_calls[0];
  assert.equal(call.function.name, 'weather');
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Rome' });
});

test('tools over several steps', async () => {
  const run = async ({ city }) => `Sun in ${city}.`;
  const tools = [{ type: 'function', function: { ...weather, function: run, parse: JSON.parse } }];
  const runner = client.chat.completions.runTools({ model, messages, tpo, tools });
  assert.equal(await runner.finalContent(), 'You said: Sun in Rome.');
});

test('structured output', async () => {
  const schema = { name: 'place', schema: parameters, strict: true };
  const answer = await client.chat.completions.parse({
    model,
    messages,
    tpo,
    response_format: { type: 'json_schema', json_schema: schema },
  });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: 'Rome' });
});

test('chat, as a response', async () => {
  const response = await client.responses.create({ model, input: 'Hi', tpo });
  assert.equal(response.output_text, 'You said: Hi');
  assert.equal(response.status, 'completed');
});

test('stream of a response, put together by the client', async () => {
  const stream = client.responses.stream({ model, input: 'Hi', tpo });
  const events = await all(stream);
  assert.equal(events[0].type, 'response.created');
  assert.ok(events.some((event) => event.type === 'response.reasoning_summary_text.delta'));
  assert.equal((await stream.finalResponse()).output_text, 'You said: Hi');
});

test('tools, called by a response', async () => {
  const tools = [{ type: 'function', ...weather }];
  const stream = client.responses.stream({ model, input: 'Hi', tpo, tools });
  const response = await stream.finalResponse();
  const call = response.output.find((item) => item.type === 'function_call');
  assert.equal(call.name, 'weather');
  assert.deepEqual(JSON.parse(call.arguments), { city: 'Rome' });
});

test('errors', async () => {
  await assert.rejects(client.responses.create({ model, input: 'Hi', previous_response_id: 'resp_1' }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, 'previous_response_id');
    return true;
  });
});
