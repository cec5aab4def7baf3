import { expect, test } from 'vitest';
import { PreparationProgress } from '../../../shared/node/preparation-progress.ts';
import { recordingLog } from '../../support/recording-log.ts';

test('a fetch is logged at its start with its size, then every ten seconds, or else a fetch of hours looks like a hang', () => {
  const log = recordingLog();
  let now = 0;
  const progress = new PreparationProgress(log, () => now);
  for (; now <= 25_000; now += 100) progress.fetched('p-1', 'vgg16', now * 1000, 59e6);
  expect(log.lines).toEqual([
    'info model vgg16: fetches 59.0 MB {"plan":"p-1"}',
    'info model vgg16: has 10.0 MB of 59.0 MB {"plan":"p-1"}',
    'info model vgg16: has 20.0 MB of 59.0 MB {"plan":"p-1"}',
  ]);
  expect(progress.plans).toMatchObject([{ bytes: 25e6, of: 59e6, bytes_per_s: 1e6, left_s: 34 }]);
  progress.fetchEnded();
  progress.fetched('p-1', 'vgg16', 40e6, 59e6);
  expect(log.lines.at(-1)).toBe('info model vgg16: fetches 59.0 MB, 40.0 MB are here {"plan":"p-1"}');
  expect(progress.plans).toEqual([{ id: 'p-1', model: 'vgg16', state: 'fetching', bytes: 40e6, of: 59e6 }]);
});

test('without blobs to fetch no line is logged', () => {
  const log = recordingLog();
  new PreparationProgress(log, () => 0).fetched('p-1', 'vgg16', 0, 0);
  expect(log.lines).toEqual([]);
});

test('a heartbeat names the newest plans, at most sixteen', () => {
  const progress = new PreparationProgress(recordingLog(), () => 0);
  for (let plan = 0; plan < 500; plan++) progress.set(`p-${plan}`, 'm', 'refused', 'x'.repeat(5000));
  expect(progress.plans).toHaveLength(16);
  expect(progress.plans.at(-1)!.id).toBe('p-499');
  expect(JSON.stringify(progress.plans).length).toBeLessThan(10_000);
  progress.forget('p-499');
  expect(progress.plans.at(-1)!.id).toBe('p-498');
});
