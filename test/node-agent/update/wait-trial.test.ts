import { expect, it } from 'vitest';
import { trialFault } from '../../../node-agent/update/wait-trial.ts';

it('a trial waits at its end for a connection that was just lost', async () => {
  const seen = [false, false, true];
  const health = () => ({ made: 3, failed: 0, connected: seen.length > 1 ? seen.shift()! : seen[0]! });
  const { signal } = new AbortController();
  expect(await trialFault({ health, answers: async () => {}, trialS: 0, signal })).toBeUndefined();
});
