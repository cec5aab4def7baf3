import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PendingMessages } from '../../../central/ingest/pending.ts';
import type { Message } from '../../../shared/ports.ts';

/** Lost if these fail: frames that the broker believes delivered and that no central has. */

const message = (byte: number, length = 1): Message => ({
  topic: 'tessera/input/front',
  payload: new Uint8Array(length).fill(byte),
  retained: false,
});
const LIMITS = { messages: 4, bytes: 10 };
/** Waits until everything that was resolved has been handled. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('pending frames are acknowledged when they are accepted, in order, and not before', async () => {
  const held = new PendingMessages(LIMITS);
  const story: string[] = [];
  for (const byte of [1, 2, 3]) void held.add(message(byte))?.then(() => story.push(`acknowledged ${byte}`));
  await settled();
  expect(story).toEqual([]);
  // The lease is lost again after two.
  held.drain(
    () => story.length < 2,
    ({ payload }) => void story.push(`taken ${payload[0]}`),
  );
  await settled();
  expect(story).toEqual(['taken 1', 'taken 2', 'acknowledged 1', 'acknowledged 2']);
  held.drain(
    () => true,
    ({ payload }) => void story.push(`taken ${payload[0]}`),
  );
  await settled();
  expect(story.slice(4)).toEqual(['taken 3', 'acknowledged 3']);
});

test('dropped frames are never acknowledged: the broker keeps them for the next central', async () => {
  const held = new PendingMessages(LIMITS);
  let acknowledged = false;
  void held.add(message(1))?.then(() => {
    acknowledged = true;
  });
  held.close();
  held.drain(
    () => true,
    () => expect.unreachable(),
  );
  await settled();
  expect(acknowledged).toBe(false);
});

test('keeps its own copy, as clients reuse their buffers', () => {
  const held = new PendingMessages(LIMITS);
  const payload = Uint8Array.of(7);
  void held.add({ ...message(0), payload });
  payload[0] = 9;
  const taken: number[] = [];
  held.drain(
    () => true,
    (message) => void taken.push(message.payload[0]!),
  );
  expect(taken).toEqual([7]);
});

test('stays within its limits, and accepted frames free their room', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(6), { nil: undefined }), { maxLength: 40 }), (moves) => {
      const held = new PendingMessages(LIMITS);
      const inside: number[] = [];
      for (const length of moves) {
        if (length === undefined) {
          let once = true;
          held.drain(
            () => once,
            ({ payload }) => {
              once = false;
              expect(payload.length).toBe(inside.shift());
            },
          );
        } else {
          const fits = inside.length < 4 && inside.reduce((sum, bytes) => sum + bytes, 0) + length <= 10;
          expect(held.add(message(0, length)) !== undefined).toBe(fits);
          if (fits) inside.push(length);
        }
      }
    }),
  );
});
