import { createHash } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { TopicFrames } from '../../node-agent/topic-frames.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { MemoryBroker } from '../support/memory-bus.ts';
import { recordingLog } from '../support/recording-log.ts';

/** Lost if these fail: a node computes with another frame than central names, or reads cameras that nobody asked for. */

const topics = topicsOf();
const jpeg = (byte: number): Uint8Array => Uint8Array.of(0xff, 0xd8, 0xff, byte);

function world() {
  const broker = new MemoryBroker();
  const bus = broker.bus();
  const log = recordingLog();
  return { broker, bus, log, frames: new TopicFrames({ bus, topics, log }) };
}

test('a camera is read from the first time that it is asked for; then its frames are here by their ids', async () => {
  const { broker, frames } = world();
  await broker.publish(topics.input('front', 'a'), jpeg(1));
  expect(await frames.take('front', 'a')).toBeUndefined();
  await broker.publish(topics.input('front', 'b'), jpeg(2));
  await broker.publish(topics.input('front'), jpeg(3));
  await broker.publish(topics.input('back', 'b'), jpeg(4));
  expect((await frames.take('front', 'b'))?.d).toEqual(jpeg(2));
  // The id that central makes too: of the SHA-256 of the payload.
  const id = createHash('sha256').update(jpeg(3)).digest('hex').slice(0, 16);
  expect((await frames.take('front', id))?.d).toEqual(jpeg(3));
  expect(await frames.take('back', 'b')).toBeUndefined();
  frames.stop();
});

test('a frame that is still on its way is waited for, and no longer than that', async () => {
  vi.useFakeTimers();
  const { broker, frames } = world();
  await frames.take('front', 'a');
  const [late, never] = [frames.take('front', 'b'), frames.take('front', 'c')];
  await broker.publish(topics.input('front', 'b'), jpeg(5));
  expect((await late)?.d).toEqual(jpeg(5));
  await vi.advanceTimersByTimeAsync(500);
  expect(await never).toBeUndefined();
  frames.stop();
  vi.useRealTimers();
});

test('only the newest frames are kept', async () => {
  const { broker, frames } = world();
  await frames.take('front', 'a');
  for (let i = 0; i < 65; i++) await broker.publish(topics.input('front', `f${i}`), jpeg(i));
  expect((await frames.take('front', 'f1'))?.d).toEqual(jpeg(1));
  expect(await frames.take('front', 'f0')).toBeUndefined();
  frames.stop();
});

test('a broker that does not let this node read a camera is reported once', async () => {
  const log = recordingLog();
  const bus = { subscribe: async () => Promise.reject(new Error('refused')) };
  const frames = new TopicFrames({ bus, topics, log });
  expect(await frames.take('front', 'a')).toBeUndefined();
  await new Promise((resolve) => setImmediate(resolve));
  expect(log.lines).toEqual([expect.stringMatching(/^warn frames of camera front come from central, since .*refused/)]);
  frames.stop();
});
