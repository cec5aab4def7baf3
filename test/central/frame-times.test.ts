import { expect, it } from 'vitest';
import { FrameTimes } from '../../central/frame-times.ts';

it('the work for a frame is the median over the latest ones of its model', () => {
  const times = new FrameTimes();
  expect(times.of('m')).toEqual({ open_ms: 0, finish_ms: 0, frames: 0 });
  for (let i = 0; i < 32; i++) times.add('m', 'open', 100);
  for (const ms of [9, 1, 2]) times.add('m', 'finish', ms);
  expect(times.of('m')).toEqual({ open_ms: 100, finish_ms: 2, frames: 3 });
  for (let i = 0; i < 32; i++) times.add('m', 'open', 5);
  expect(times.of('m').open_ms).toBe(5);
  expect(times.of('n').frames).toBe(0);
});
