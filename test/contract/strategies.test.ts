import { describe, expect, test } from 'vitest';
import { violationsOf } from '../../central/planner/contract.ts';
import { contractProblems } from '../../central/planner/contract-problems.ts';
import { STRATEGIES } from '../../central/planner/strategies.ts';

/** The rules of central/planner/contract.ts, which `tessera plan --check-strategy` checks of users' own strategies. */
describe.each([...STRATEGIES.values()])('strategy $name', (strategy) => {
  test('keeps the rules of all strategies', async () => {
    expect(await violationsOf(strategy, contractProblems())).toEqual([]);
  });
});
