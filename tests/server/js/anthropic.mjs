// What Anthropic's client for JavaScript sees of the server; run by tests/server/clients/test_javascript.py.

import assert from 'node:assert/strict';
import test from 'node:test';
import Anthropic from '@anthropic-ai/sdk';

const model = process.env.TPO_TEST_MODEL;
const baseURL = process.env.TPO_TEST_URL.replace(/\/v1$/, '');
const client = new Anthropic({ baseURL, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hi' }];
const tpo = { width: 2, depth: 1 };
const input_schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

test('chat', async () => {
  const message = await client.messages.create({ model, messages, max_tokens: 32, tpo });
  assert.equal(message.content[0].text, 'You said: Hi');
  assert.equal(message.stop_reason, 'end_turn');
});

test('stream, with thinking', async () => {
  const thinking = { type: 'enabled', budget_tokens: 1024 };
  const message = await client.messages
    .stream({ model, messages, max_tokens: 2048, tpo, thinking })
    .finalMessage();
  assert.deepEqual(message.content.map((block) => block.type), ['thinking', 'text']);
  assert.equal(message.content[1].text, 'You said: Hi');
});

test('tools over several steps, streamed', async () => {
  const tools = [{ name: 'weather', description: 'The weather.', input_schema }];
  const first = await client.messages.stream({ model, messages, max_tokens: 64, tpo, tools }).finalMessage();
  const call = first.content.at(-1);
  assert.deepEqual(call.input, { city: 'Rome' });
  const result = { type: 'tool_result', tool_use_id: call.id, content: 'Sun.' };
  const turns = [...messages, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }];
  const after = await client.messages.create({ model, messages: turns, max_tokens: 64, tpo, tools });
  assert.equal(after.content.at(-1).text, 'You said: Sun.');
});

test('structured output', async () => {
  const format = { type: 'json_schema', schema: { ...input_schema, additionalProperties: false } };
  const message = await client.messages.parse({ model, messages, max_tokens: 64, tpo, output_config: { format } });
  assert.deepEqual(JSON.parse(message.content.at(-1).text), { city: 'Rome' });
});

test('errors', async () => {
  await assert.rejects(client.messages.create({ model: 'large', messages, max_tokens: 5 }), Anthropic.NotFoundError);
});
