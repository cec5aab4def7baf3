import { MessageChannel, type MessagePort, markAsUntransferable, type Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { answerCalls, buffersOf, type SendPart, WorkerCalls } from '../../../shared/runtime/worker-call.ts';

/** Calls over a channel instead of a thread: the same must be true for every call here. */

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

function channelOf(handlers: Parameters<typeof answerCalls>[1]) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  let messages = 0;
  port2.on('message', () => messages++);
  answerCalls(port2, handlers);
  return { calls: new WorkerCalls(port1 as unknown as Worker), messages: () => messages };
}

describe('calls to a worker', () => {
  it('made in one turn are sent as one message, start in order, and each has its own answer', async () => {
    const begun: number[] = [];
    const { calls, messages } = channelOf({
      double: (n: number) => {
        begun.push(n);
        return n * 2;
      },
      later: async (n: number) => {
        begun.push(n);
        return n + 1;
      },
    });
    const answers = await Promise.all([1, 2, 3].map((n) => calls.call('double', n)).concat(calls.call('later', 4)));
    expect(answers).toEqual([2, 4, 6, 5]);
    expect(begun).toEqual([1, 2, 3, 4]);
    expect(messages()).toBe(1);
    await calls.call('double', 5);
    expect(messages()).toBe(2);
  });

  it('are answered in parts, whose buffers are transferred, before the end of the answer', async () => {
    const { calls } = channelOf({
      count: async (to: number, sendPart: SendPart<Uint8Array>) => {
        for (let k = 1; k < to; k++) {
          const value = Uint8Array.of(k);
          sendPart({ value, transfer: [value.buffer] });
          expect(value.byteLength).toBe(0);
        }
        return to;
      },
    });
    const parts: Uint8Array[] = [];
    expect(await calls.call('count', 3, [], (part: Uint8Array) => parts.push(part))).toBe(3);
    expect(parts).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    expect(await calls.call('count', 2)).toBe(2);
  });

  it('work with buffers that cannot be transferred, as those of Node.js itself and of native code', async () => {
    const fixed = (first: number): Uint8Array => {
      const bytes = Uint8Array.of(first, 2, 3);
      markAsUntransferable(bytes.buffer);
      return bytes;
    };
    const { calls } = channelOf({
      next: async (bytes: Uint8Array) => {
        const value = fixed(bytes[0]! + 1);
        return { value, transfer: buffersOf([value]) };
      },
    });
    const sent = fixed(7);
    expect(await calls.call('next', sent, buffersOf([sent]))).toEqual(Uint8Array.of(8, 2, 3));
    expect([...sent]).toEqual([7, 2, 3]);
  });

  it('fail separately: with the code of the error, also for values that cannot be sent', async () => {
    const { calls } = channelOf({
      echo: (value: unknown) => value,
      fail: () => {
        throw new TesseraError('TESSERA_CODEC', 'no');
      },
      failLater: async () => {
        throw new Error('later');
      },
    });
    const outcomes = await Promise.allSettled([
      calls.call('echo', 1),
      calls.call('fail', null),
      calls.call('failLater', null),
      calls.call('echo', () => {}),
      calls.call('unknown', null),
      calls.call('echo', 2),
    ]);
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code))).toEqual([
      1,
      'TESSERA_CODEC',
      'TESSERA_INTERNAL',
      'TESSERA_INTERNAL',
      'TESSERA_INTERNAL',
      2,
    ]);
  });

  it('transfer their buffers there and back, also one that two calls share', async () => {
    const { calls } = channelOf({
      sum: (bytes: Uint8Array) => bytes.reduce((a, b) => a + b, 0),
      fill: (size: number) => {
        const value = new Uint8Array(size).fill(7);
        return { value, transfer: buffersOf([value]) };
      },
    });
    const bytes = Uint8Array.of(1, 2, 3);
    const sums = [calls.call('sum', bytes, buffersOf([bytes])), calls.call('sum', bytes, buffersOf([bytes]))];
    expect(await Promise.all(sums)).toEqual([6, 6]);
    expect(bytes.byteLength).toBe(0);
    expect(await calls.call<Uint8Array>('fill', 3)).toEqual(Uint8Array.of(7, 7, 7));
  });
});
