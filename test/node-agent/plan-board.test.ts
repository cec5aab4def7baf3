import { expect, test } from 'vitest';
import { PlanBoard } from '../../node-agent/plan-board.ts';
import { recordingLog } from '../support/recording-log.ts';

test('a fetch is logged at its begin with its size, then every ten seconds, or else hours of it look like nothing', () => {
  const log = recordingLog();
  let now = 0;
  const board = new PlanBoard(log, () => now);
  for (; now <= 25_000; now += 100) board.fetched('p-1', 'vgg16', now * 1000, 59e6);
  expect(log.lines).toEqual([
    'info model vgg16: fetches 59.0 MB {"plan":"p-1"}',
    'info model vgg16: has 10.0 MB of 59.0 MB {"plan":"p-1"}',
    'info model vgg16: has 20.0 MB of 59.0 MB {"plan":"p-1"}',
  ]);
  board.fetchEnded();
  board.fetched('p-1', 'vgg16', 40e6, 59e6);
  expect(log.lines.at(-1)).toBe('info model vgg16: fetches 59.0 MB, 40.0 MB are here {"plan":"p-1"}');
  expect(board.plans).toEqual([{ id: 'p-1', model: 'vgg16', state: 'fetching', bytes: 40e6, of: 59e6 }]);
});

test('nothing to fetch is nothing to say', () => {
  const log = recordingLog();
  new PlanBoard(log, () => 0).fetched('p-1', 'vgg16', 0, 0);
  expect(log.lines).toEqual([]);
});

test('a heartbeat has the newest plans and no more than sixteen, whatever central asks for', () => {
  const board = new PlanBoard(recordingLog(), () => 0);
  for (let plan = 0; plan < 500; plan++) board.set(`p-${plan}`, 'm', 'refused', 'x'.repeat(5000));
  expect(board.plans).toHaveLength(16);
  expect(board.plans.at(-1)!.id).toBe('p-499');
  expect(JSON.stringify(board.plans).length).toBeLessThan(10_000);
  board.forget('p-499');
  expect(board.plans.at(-1)!.id).toBe('p-498');
});
