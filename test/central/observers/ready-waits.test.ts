import { expect, test } from 'vitest';
import { ReadyWaits } from '../../../central/observers/ready-waits.ts';
import type { Plan } from '../../../shared/plan/plan.ts';

/** Without it the readiness of nodes is never logged again after a caller has waited in vain. */

test('nobody waits any more after a time-out, or after the caller has stopped waiting', async () => {
  const answers = { ready: [], preparing: ['a'], refused: [] };
  const none = { ...answers, isServed: false };
  const waits = new ReadyWaits(() => answers);
  const plan = { id: 'p-1' } as Plan;
  const late = waits.whenReady(plan, 1, { timeoutMs: 5 });
  expect(waits.some).toBe(true);
  expect(await late).toEqual(none);
  expect(waits.some).toBe(false);
  const stop = new AbortController();
  const stopped = waits.whenReady(plan, 1, { timeoutMs: 60_000, signal: stop.signal });
  stop.abort();
  expect(await stopped).toEqual(none);
  expect(waits.some).toBe(false);
});
