import { expect, test } from 'vitest';
import { changesOf, type Fleet, type Reading } from '../../../central/replanner/fleet.ts';

/** Lost if this fails: noise makes new plans, or a change that matters makes none, or is published with a wrong reason. */

const usual: Reading = { slowness: 2, hop_ms: 20, memory: 1, throttled: false };
const fleet = (readings: Readonly<Record<string, Partial<Reading>>>): Fleet =>
  new Map(Object.entries(readings).map(([id, reading]) => [id, { ...usual, ...reading }]));

test('what stays within the band is no change, above and below', () => {
  expect(changesOf(fleet({ a: {} }), fleet({ a: { slowness: 2.9, hop_ms: 32 } }), 0.5)).toEqual([]);
  expect(changesOf(fleet({ a: {} }), fleet({ a: { slowness: 1.4, hop_ms: 12 } }), 0.5)).toEqual([]);
});

test('a change has the reason of what left its band, in both directions', () => {
  const cases: [Partial<Reading>, string][] = [
    [{ slowness: 3.1 }, 'cpu'],
    [{ slowness: 1.3 }, 'cpu'],
    [{ slowness: 3.1, throttled: true }, 'thermal'],
    [{ hop_ms: 40 }, 'network'],
    [{ hop_ms: 10 }, 'network'],
    [{ memory: 0.5 }, 'memory'],
  ];
  for (const [reading, what] of cases) {
    expect(changesOf(fleet({ a: {} }), fleet({ a: reading }), 0.5)).toEqual([{ what, node: 'a' }]);
    expect(changesOf(fleet({ a: reading }), fleet({ a: {} }), 0.5)).toEqual([{ what, node: 'a' }]);
  }
});

test('milliseconds of a fast link are noise', () => {
  expect(changesOf(fleet({ a: { hop_ms: 0.2 } }), fleet({ a: { hop_ms: 2 } }), 0.5)).toEqual([]);
});

test('machines that come and go are changes', () => {
  expect(changesOf(fleet({ a: {}, b: {} }), fleet({ b: {}, c: {} }), 0.5)).toEqual([
    { what: 'node joined', node: 'c' },
    { what: 'node left', node: 'a' },
  ]);
});
