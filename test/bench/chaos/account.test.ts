import { expect, test } from 'vitest';
import { Account } from '../../../bench/chaos/account.ts';
import { actsOf } from '../../../bench/chaos/acts.ts';

// Lost if these fail: a chaos run passes although frames are lost or answered twice differently.

const resultOf = (frame: string, id: string, status = 'ok') => JSON.stringify({ frame, id, status });

test('counts acknowledged frames without an end, and ends that differ; the same end twice is a repetition', () => {
  const account = new Account();
  for (const frame of ['a', 'b', 'c', 'd', 'e']) account.sent(frame, 1);
  for (const frame of ['a', 'b', 'c', 'd']) account.acknowledged(frame, 2);
  account.result(resultOf('a', '1-1'), 3);
  account.result(resultOf('a', '1-1'), 4);
  account.result(resultOf('b', '1-2'), 3);
  account.result(resultOf('b', '2-2'), 9);
  account.result(resultOf('c', '1-3'), 3);
  account.result(resultOf('c', '1-3', 'error'), 3);
  expect(account.open).toBe(1);
  expect(account.verdict()).toEqual({
    sent: 5,
    acknowledged: 4,
    ended: { ok: 3 },
    missing: ['d'],
    doubled: ['b', 'c'],
    repeats: 1,
    unsaved: [],
  });
  account.unsaved(1.5, 2.5);
  expect(account.verdict()).toMatchObject({ missing: [], unsaved: ['d'] });
  expect(account.open).toBe(0);
  expect(account.story('d')).toBe('d: sent 1.00, acknowledged 2.00, no end');
});

test('faults are derived from the seed, one every five seconds, and all are repaired before the end', () => {
  const acts = actsOf(3, 180, ['pi-1', 'pi-2']);
  expect(acts).toEqual(actsOf(3, 180, ['pi-1', 'pi-2']));
  expect(acts.map(({ at }) => at)).toEqual(Array.from({ length: 35 }, (_, i) => 5 * (i + 1)));
  expect(new Set(acts.flatMap(({ targets }) => targets))).toEqual(new Set(['pi-1', 'pi-2', 'central', 'broker']));
  expect(new Set(acts.map(({ how }) => how))).toEqual(new Set(['kill', 'stop', 'freeze']));
});
