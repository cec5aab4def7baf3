import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editedTree } from '../../../../bench/fuzz/trees.ts';
import type { CodecSpec } from '../../../../shared/codec/spec.ts';
import { usualResult, usualWork } from '../../../../shared/protocol/messages/received-work.ts';
import { resultMessage, workMessage } from '../../../../shared/protocol/messages/work.ts';
import type { z } from '../../../../shared/schema.ts';

// Lost if these fail: a message passes that the documented schema refuses, or every message is checked twice.

const about = { v: 1, plan: 'p-1', i_id: '7-1', stage: 0, attempt: 2 };
const box = [
  [0, 1],
  [4, 8],
];
const place = { tensor: 'x', box };
const codecs: readonly CodecSpec[] = [
  { name: 'raw' },
  { name: 'packed' },
  { name: 'fp16' },
  { name: 'q8', per: 'tensor' },
  { name: 'q8', per: 'channel' },
  { name: 'clip', a: 0.2, b: 2, bits: 4 },
  { name: 'clip', a: -1, b: 2, bits: 8, base: -1 },
];
const info = { ...place, dtype: 'uint8', shape: [1, 4], codec: codecs[0] };
const region = { ...info, d: new Uint8Array(4) };
const to = ['central', 'pi-1'];
const work = {
  ...about,
  budget_ms: 12.5,
  tiles: [
    { t_id: 3, in: [region, { ...place, held: true }], out: codecs.map((codec) => ({ ...place, codec, to })) },
    { t_id: 4, in: [{ ...place, from: 'pi-2' }], out: [] },
  ],
};
const result = {
  ...about,
  n_id: 'pi-1',
  queue_ms: 0,
  tiles: [
    { t_id: 3, out: [...codecs.map((codec) => ({ ...region, codec })), { ...info, bytes: 4, ms: 0.5 }], compute_ms: 7 },
    { t_id: 4, out: [], compute_ms: 0 },
  ],
};

/** A value, and the same with one of its fields changed, missing or added. */
function* changed(value: unknown): Generator<unknown> {
  yield* [undefined, null, true, '', 'held', 'x'.repeat(2000), -1, 0, 0.5, 2 ** 31 + 1, Number.NaN, [], {}];
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  if (Array.isArray(value)) {
    yield [...value, value[0]];
    yield value.slice(1);
    yield Array.from({ length: 4097 }, () => value[0]);
    for (const [k, inner] of value.entries()) for (const other of changed(inner)) yield value.with(k, other);
    return;
  }
  yield { ...value, more: 1 };
  yield { ...value, error: { code: 'busy', text: 'x' } };
  for (const [key, inner] of Object.entries(value)) {
    const { [key]: _, ...rest } = value as Record<string, unknown>;
    yield rest;
    yield { ...rest, [`${key}s`]: inner };
    for (const other of changed(inner)) yield { ...value, [key]: other };
  }
}

/** Whether errors, or a field that is there without a value, leave a result to the schema. */
const isUnusual = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  !(value instanceof Uint8Array) &&
  ('error' in value || Object.values(value).some((inner) => inner === undefined || isUnusual(inner)));

/** Whether the check accepted the value, after a comparison with the schema. */
function accepts(check: (value: unknown) => unknown, schema: z.ZodType, value: unknown): boolean {
  const checked = check(value);
  const { data } = schema.safeParse(value);
  if (checked !== undefined) expect(data).toEqual(checked);
  else if (data !== undefined && isDeepStrictEqual(data, value)) expect(isUnusual(value)).toBe(true);
  return checked !== undefined;
}

describe.each([
  ['usualWork', usualWork, workMessage, work],
  ['usualResult', usualResult, resultMessage, result],
] as const)('%s', (_, check, schema, message) => {
  it('accepts a message with every form of its fields, as it is', () => {
    expect(check(message)).toBe(message);
  });

  it('accepts and refuses what the schema does, whichever field is changed', () => {
    let accepted = 0;
    let refused = 0;
    for (const value of changed(message)) accepts(check, schema, value) ? accepted++ : refused++;
    expect(accepted).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(500);
  });

  it('accepts and refuses what the schema does, whatever is changed', () => {
    fc.assert(
      fc.property(editedTree([message]), (value) => void accepts(check, schema, value)),
      { numRuns: 500 },
    );
  });
});
