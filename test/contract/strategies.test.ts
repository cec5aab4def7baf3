import { describe, expect, test } from 'vitest';
import { type RULES, violationsOf } from '../../central/planner/contract.ts';
import { contractProblems } from '../../central/planner/contract-problems.ts';
import { STRATEGIES } from '../../central/planner/strategies.ts';

/** Rules that a strategy does not keep, and why. */
const DEVIATIONS: Readonly<Record<string, readonly { readonly rule: keyof typeof RULES; readonly why: string }[]>> = {
  'whole-central': [{ rule: 'predictable', why: 'central computes also where it was not profiled' }],
};

/** The rules of central/planner/contract.ts, which `tessera plan --check-strategy` checks of users' own strategies. */
describe.each([...STRATEGIES.values()])('strategy $name', (strategy) => {
  const known = DEVIATIONS[strategy.name] ?? [];

  test('keeps the rules of all strategies, but for what is listed', async () => {
    const violations = await violationsOf(strategy, contractProblems());
    expect(violations.filter(({ rule }) => !known.some((other) => other.rule === rule))).toEqual([]);
    for (const { rule } of known) expect(violations.map((violation) => violation.rule)).toContain(rule);
  });
});
