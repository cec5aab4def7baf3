import { describe, expect, it, vi } from 'vitest';
import { FrameClient, publishFrame } from '../../cli/frames.ts';
import type { Bus } from '../../shared/ports.ts';
import { partMessage } from '../../shared/protocol/messages/part.ts';
import type { OutputsMessage, ResultObject } from '../../shared/protocol/messages/result.ts';
import { splitBody } from '../../shared/protocol/parts.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { decode, encode } from '../../shared/runtime/cbor.ts';
import { MemoryBroker } from '../support/memory-bus.ts';
import { emptyResult } from '../support/result-object.ts';

it('parts of a large picture are accepted by central, however long the name of the file', async () => {
  const sent: Uint8Array[] = [];
  const bus = { publish: async (_topic: string, body: Uint8Array) => void sent.push(body) } as unknown as Bus;
  const d = new Uint8Array(600_000);
  await publishFrame(bus, topics(), 'front', 'x'.repeat(110), { v: 1, format: 'jpeg', d });
  const parts = sent.map((body) => decode(body, partMessage, 'a part'));
  expect(parts.map(({ part }) => part)).toEqual([
    [0, 3],
    [1, 3],
    [2, 3],
  ]);
  expect(new Set(parts.map(({ m }) => m)).size).toBe(1);
});

const names = topics();
const FRAME = { v: 1, format: 'png', d: new Uint8Array([1]), tensors: true } as const;

const resultOf = (model: string, frame: string, more: Partial<ResultObject> = {}): ResultObject =>
  emptyResult({ id: `1-${model}-${frame}`, frame, model, ...more });

/** Central's side of the connection: publishes results and tensors as central does, in any order. */
async function connected() {
  const broker = new MemoryBroker();
  const client = new FrameClient(broker.bus(), names, 'front');
  await client.start();
  const says = (result: ResultObject, topic = names.result(result.camera, result.model), retain = false) =>
    broker.publish(topic, JSON.stringify(result), { qos: 1, retain });
  const tensorsOf = ({ id, frame }: ResultObject, bytes: number): OutputsMessage => {
    const d = new Uint8Array(bytes).fill(bytes % 251);
    const shape = [bytes];
    const box: [number, number][] = [[0, bytes]];
    return { v: 1, id, frame, outputs: [{ tensor: 'y', box, dtype: 'uint8', shape, codec: { name: 'raw' }, d }] };
  };
  const sends = async (result: ResultObject, bytes: number) => {
    for (const part of splitBody(encode(tensorsOf(result, bytes)), result.id))
      await broker.publish(names.tensor(result.camera, result.model), encode(part));
  };
  return { broker, client, says, sends };
}

describe('the result of a frame for several models', () => {
  const orders = {
    'tensors of the other model last': ['own tensors', 'own result', 'other tensors', 'other result'],
    'tensors of the other model first': ['other tensors', 'other result', 'own tensors', 'own result'],
    'results before tensors': ['own result', 'other result', 'other tensors', 'own tensors'],
    'the other tensors between': ['own result', 'other tensors', 'own tensors', 'other result'],
  } as const;
  it.each(Object.entries(orders))('is that of the requested model: %s', async (_, order) => {
    const { client, says, sends } = await connected();
    const answer = client.send('f', FRAME, 1000, 'aaa');
    const [own, other] = [resultOf('aaa', 'f'), resultOf('bbb', 'f')];
    const steps = {
      'own tensors': () => sends(own, 2048),
      'own result': () => says(own),
      'other tensors': () => sends(other, 5120),
      'other result': () => says(other),
    };
    for (const step of order) await steps[step]();
    const { result, tensors } = await answer;
    expect(result.model).toBe('aaa');
    expect(tensors?.outputs[0]?.d.byteLength).toBe(2048);
  });

  it('has the tensors that belong to its result, where no model was requested', async () => {
    const { client, says, sends } = await connected();
    const answer = client.send('f', FRAME, 1000);
    const [one, two] = [resultOf('aaa', 'f'), resultOf('bbb', 'f')];
    await sends(one, 2048);
    await says(two);
    await sends(two, 600_000);
    await says(one);
    const { result, tensors } = await answer;
    expect([result.model, tensors?.outputs[0]?.d.byteLength]).toEqual(['bbb', 600_000]);
  });

  it('is not an error of another model, nor a message whose topic and content disagree', async () => {
    const { client, says, sends } = await connected();
    const answer = client.send('f', FRAME, 1000, 'aaa');
    const own = resultOf('aaa', 'f');
    await says(resultOf('bbb', 'f', { status: 'error', error: { code: 'X', message: 'x' } }));
    await says(resultOf('aaa', 'f', { latency_ms: 99 }), names.result('front', 'bbb'));
    await says(resultOf('aaa', 'f', { latency_ms: 99, camera: 'back' }), names.result('back', 'aaa'));
    await sends(own, 8);
    await says(own);
    expect((await answer).result.latency_ms).toBe(1);
  });
});

it('each of several open frames has its own result, in any order', async () => {
  const { client, says, sends } = await connected();
  const answers = ['a', 'b', 'c'].map((id) => client.send(id, FRAME, 1000, 'aaa'));
  for (const [bytes, id] of [
    [30, 'c'],
    [10, 'a'],
    [20, 'b'],
  ] as const)
    await sends(resultOf('aaa', id), bytes);
  for (const id of ['b', 'a', 'c']) await says(resultOf('aaa', id));
  const bytes = (await Promise.all(answers)).map(({ tensors }) => tensors?.outputs[0]?.d.byteLength);
  expect(bytes).toEqual([10, 20, 30]);
});

it('tensors of an earlier result for the same frame are ignored', async () => {
  const { client, says, sends } = await connected();
  const answer = client.send('f', FRAME, 1000, 'aaa');
  await sends(resultOf('aaa', 'f', { id: '1-1' }), 10);
  await says(resultOf('aaa', 'f', { id: '2-1' }));
  await sends(resultOf('aaa', 'f', { id: '2-1' }), 20);
  expect((await answer).tensors?.outputs[0]?.d.byteLength).toBe(20);
});

it('a result that the broker queued while the connection was lost is accepted', async () => {
  const { broker, client, says } = await connected();
  const kept = new FrameClient(broker.bus(), names, 'front');
  const answer = kept.send('f', { ...FRAME, tensors: false }, 1000, 'aaa');
  await says(resultOf('aaa', 'f'), undefined, true);
  // The client subscribes only now, as it does again after a lost connection.
  await kept.start();
  expect((await answer).result.frame).toBe('f');
  await client.start();
});

describe('without an answer in time the error says which part is missing', () => {
  it.each([
    ['no result', false, /no result of model "aaa" for frame f within 0.01 s/],
    ['no tensors', true, /frame f has a result, but its outputs did not come within 0.01 s/],
  ])('%s', async (_, hasResult, message) => {
    vi.useFakeTimers();
    try {
      const { client, says, sends } = await connected();
      const answer = expect(client.send('f', FRAME, 10, 'aaa')).rejects.toThrow(message);
      await sends(resultOf('bbb', 'f'), 10);
      if (hasResult) await says(resultOf('aaa', 'f'));
      await vi.advanceTimersByTimeAsync(11);
      await answer;
    } finally {
      vi.useRealTimers();
    }
  });
});
