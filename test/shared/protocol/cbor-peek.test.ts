import fc from 'fast-check';
import { expect, test } from 'vitest';
import { peekCbor } from '../../../shared/protocol/cbor-peek.ts';
import { encode } from '../../../shared/runtime/cbor.ts';

const scalar = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.nat(),
  fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  fc.double({ noNaN: true }),
  fc.boolean(),
  fc.constant(null),
);

test('reads the texts and whole numbers before the first list, as they were written', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), scalar, { maxKeys: 12 }), (head) => {
      const message = { ...head, tiles: [{ t_id: 0 }], after: 'not seen' };
      const seen = peekCbor(encode(message));
      for (const [key, value] of Object.entries(head))
        if (typeof value === 'string' || (Number.isInteger(value) && Number(value) >= 0 && !Object.is(value, -0)))
          if (key in seen) expect(seen[key]).toBe(value);
      expect(seen).not.toHaveProperty('after');
      expect(seen).not.toHaveProperty('tiles');
    }),
  );
});

test('reads the header of a result without its outputs, whose bytes may be cut off', () => {
  const about = { v: 1, plan: 'p-1', i_id: '7-3', stage: 2, attempt: 5, n_id: 'pi-1', queue_ms: 0.25 };
  const bytes = encode({ ...about, tiles: [{ t_id: 0, out: [], compute_ms: 1, pad: new Uint8Array(100_000) }] });
  expect(peekCbor(bytes.subarray(0, 120))).toMatchObject({
    plan: 'p-1',
    i_id: '7-3',
    stage: 2,
    attempt: 5,
    n_id: 'pi-1',
  });
});

test('never throws and never reads far, whatever the bytes are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(Object.keys(peekCbor(bytes)).length).toBeLessThanOrEqual(16);
    }),
    { numRuns: 2000 },
  );
  // A map that announces more entries than there are, and a key as long as the message.
  expect(peekCbor(Uint8Array.of(0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff))).toEqual({});
  expect(peekCbor(encode({ ['x'.repeat(100_000)]: 1 }))).toEqual({});
});
