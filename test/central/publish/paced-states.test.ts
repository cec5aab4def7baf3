import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PacedStates } from '../../../central/publish/paced-states.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('publish a state when it changes, the last one at the end of the interval, and never the same twice', () => {
  const published: string[] = [];
  const states = new PacedStates({
    publisher: { retain: (_, text) => void published.push(text) },
    now: () => Date.now(),
  });
  for (const text of ['1', '1', '2', '3']) states.set('t', text, 'front', 10);
  expect(published).toEqual(['1']);
  vi.advanceTimersByTime(9_999);
  expect(published).toEqual(['1']);
  vi.advanceTimersByTime(1);
  expect(published).toEqual(['1', '3']);
  states.set('t', '4', 'front', 10);
  states.set('t', '3', 'front', 10);
  vi.advanceTimersByTime(60_000);
  expect(published).toEqual(['1', '3']);
  states.set('t', '5', 'front', 0);
  states.set('t', '6', 'front', 10);
  states.cameraForgotten('front');
  vi.advanceTimersByTime(60_000);
  expect(published).toEqual(['1', '3', '5']);
});
