import { expect, test } from 'vitest';
import { MotionGate, SMALL } from '../../../shared/camera/motion.ts';

/** Lost if these fail: frames without news are computed, or what moves is missed. */

const CELLS = SMALL.width * SMALL.height;
const all = new Uint8Array(CELLS).fill(1);
const flat = (level: number) => new Uint8Array(CELLS).fill(level);
/** A picture with so many bright cells from `at` on. */
function spots(count: number, at = 0): Uint8Array {
  const grey = flat(100);
  grey.fill(200, at, at + count);
  return grey;
}
const gate = (watched = all) => new MotionGate({ least: 0.002, heartbeat_s: 10 }, watched);

test('the first picture passes, the same again does not, until the heartbeat', () => {
  const one = gate();
  expect([0, 1000, 9999, 10_000, 10_001].map((now) => one.passes(flat(100), now))).toEqual([
    true,
    false,
    false,
    true,
    false,
  ]);
});

test('a small thing that moves passes; one that stands still then does not', () => {
  const one = gate();
  one.passes(flat(100), 0);
  expect(one.passes(spots(4), 100)).toBe(false);
  expect(one.passes(spots(6), 200)).toBe(true);
  expect(one.passes(spots(6), 300)).toBe(false);
  expect(one.passes(spots(6, 30), 400)).toBe(true);
  expect(one.passes(flat(100), 500)).toBe(true);
});

test('a cloud that darkens everything, and noise, are no motion', () => {
  const one = gate();
  one.passes(flat(150), 0);
  expect(one.passes(flat(90), 100)).toBe(false);
  const noisy = flat(150).map((level, cell) => level + (cell % 3) * 6 - 6);
  expect(one.passes(noisy, 200)).toBe(false);
});

test('what moves where nothing is watched does not pass', () => {
  const watched = new Uint8Array(all);
  watched.fill(0, 0, 100);
  const one = gate(watched);
  one.passes(flat(100), 0);
  expect(one.passes(spots(100), 100)).toBe(false);
  expect(one.passes(spots(100, 50), 200)).toBe(true);
});
