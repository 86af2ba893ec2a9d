// What Vercel's AI SDK sees of the server, with each of its providers; run by tests/server/clients/test_javascript.py.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';

const model = process.env.TPO_TEST_MODEL;
const baseURL = process.env.TPO_TEST_URL;
const apiKey = 'none';
const headers = { 'x-tpo-width': '2', 'x-tpo-depth': '1' };
const openai = createOpenAI({ baseURL, apiKey, headers });
const providers = {
  '@ai-sdk/openai, responses': openai(model),
  '@ai-sdk/openai, chat': openai.chat(model),
  '@ai-sdk/openai-compatible': createOpenAICompatible({ name: 'tpo', baseURL, apiKey, headers }).chatModel(model),
  '@ai-sdk/anthropic': createAnthropic({ baseURL, apiKey, headers })(model),
};
const schema = jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] });
const weather = tool({
  description: 'The weather.',
  inputSchema: schema,
  execute: async ({ city }) => `Sun in ${city}.`,
});

for (const [name, provider] of Object.entries(providers)) {
  test(`${name}: chat`, async () => {
    const { text } = await generateText({ model: provider, prompt: 'Hi', maxRetries: 0 });
    assert.equal(text, 'You said: Hi');
  });

  test(`${name}: stream`, async () => {
    const errors = [];
    const { textStream } = streamText({
      model: provider,
      prompt: 'Hi',
      maxRetries: 0,
      onError: ({ error }) => errors.push(error),
    });
    let text = '';
    for await (const part of textStream) text += part;
    assert.deepEqual(errors, []);
    assert.equal(text, 'You said: Hi');
  });

  test(`${name}: structured output`, async () => {
    const { output } = await generateText({
      model: provider,
      prompt: 'Hi',
      output: Output.object({ schema }),
      maxRetries: 0,
    });
    assert.deepEqual(output, { city: 'Rome' });
  });

  for (const streamed of [false, true]) {
    test(`${name}: tools over several steps${streamed ? ', streamed' : ''}`, async () => {
      const errors = [];
      const result = await (streamed ? streamText : generateText)({
        model: provider,
        prompt: 'Hi',
        tools: { weather },
        stopWhen: stepCountIs(3),
        maxRetries: 0,
        onError: ({ error }) => errors.push(error),
      });
      if (streamed) await result.consumeStream();
      assert.deepEqual(errors, []);
      assert.match(await result.text, /Sun in Rome/);
      assert.equal((await result.steps).length, 2);
    });
  }
}
