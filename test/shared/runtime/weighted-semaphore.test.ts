import { expect, test } from 'vitest';
import { WeightedSemaphore } from '../../../shared/runtime/weighted-semaphore.ts';

// Lost if this fails: large pictures are decoded at the same time and need all memory, or none is decoded any more.
test('tasks run while their weights fit, in the order of the calls; one above the capacity runs alone', async () => {
  const semaphore = new WeightedSemaphore(10);
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const runs = [6, 5, 4, 99, 1].map((weight, i) =>
    semaphore.run(weight, async () => {
      started.push(i);
      await new Promise<void>((resolve) => {
        ends[i] = resolve;
      });
      if (i === 1) throw new Error('a task that fails frees its share too');
    }),
  );
  runs[1]!.catch(() => {});
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  await settle();
  expect(started).toEqual([0]);
  ends[0]!();
  await settle();
  expect(started).toEqual([0, 1, 2]);
  ends[1]!();
  await settle();
  expect(started).toEqual([0, 1, 2]);
  ends[2]!();
  await settle();
  expect(started).toEqual([0, 1, 2, 3]);
  ends[3]!();
  await settle();
  expect(started).toEqual([0, 1, 2, 3, 4]);
  ends[4]!();
  await Promise.allSettled(runs);
});
