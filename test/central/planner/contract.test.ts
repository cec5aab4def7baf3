import { expect, test } from 'vitest';
import { type Rule, violationsOf } from '../../../central/planner/contract.ts';
import { contractProblems } from '../../../central/planner/contract-problems.ts';
import { exhaustive } from '../../../central/planner/strategies/exhaustive.ts';
import { isNoPlan, type Problem, type Strategy } from '../../../central/planner/strategy.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { planId } from '../../../shared/plan/plan-id.ts';

/** A suite that finds nothing would let any strategy pass. */

const problems = contractProblems().slice(0, 2);
const withId = (plan: Plan): Plan => ({ ...plan, id: planId(plan) });

/** A strategy that answers what another one does, with changes. */
function changed(change: (plan: Plan, problem: Problem) => Plan | readonly Plan[]): Strategy {
  return {
    name: 'exhaustive',
    propose: (problem) => {
      const plans = exhaustive.propose(problem);
      return isNoPlan(plans) ? plans : plans.flatMap((plan) => change(plan, problem));
    },
  };
}
const onNodes = (plan: Plan, nodes: readonly string[]): Plan =>
  withId({ ...plan, stages: plan.stages.map((stage) => ({ ...stage, on: { mode: 'share', nodes } })) });

let turn = 0;
const cases: [Rule, Strategy][] = [
  [
    'answers',
    {
      name: 'exhaustive',
      propose: () => {
        throw new Error('no');
      },
    },
  ],
  ['answers', { name: 'exhaustive', propose: () => [] }],
  ['answers', { name: 'exhaustive', propose: () => ({ kind: 'impossible', reason: '' }) }],
  [
    'valid',
    changed((plan) => withId({ ...plan, stages: plan.stages.map((stage) => ({ ...stage, outputs: ['other'] })) })),
  ],
  ['valid', changed((plan) => ({ ...plan, id: 'my plan' }))],
  ['named', changed((plan) => ({ ...plan, strategy: 'another' }))],
  ['named', changed((plan) => ({ ...plan, reason: '' }))],
  ['distinct', changed((plan) => [plan, { ...plan, reason: 'the same again' }])],
  ['distinct', changed((plan) => ({ ...plan, id: 'p-0123456789ab' }))],
  ['deterministic', changed((plan) => ({ ...plan, reason: `turn ${turn++}` }))],
  [
    'pure',
    changed((plan, { nodes }) => {
      (nodes as unknown[]).push(nodes[0]);
      return plan;
    }),
  ],
  ['allowed', changed((plan) => onNodes(plan, ['moon']))],
  [
    'allowed',
    changed((plan) =>
      withId({
        ...plan,
        stages: plan.stages.map((stage) => ({ ...stage, codec: { [stage.outputs[0]!]: { name: 'fp16' } } })),
      }),
    ),
  ],
  ['predictable', changed((plan) => onNodes(plan, ['central']))],
];

test.each(cases)('a strategy that breaks the rule "%s" is found out', async (rule, strategy) => {
  const violations = await violationsOf(
    strategy,
    problems.map(({ name, problem }) => ({ name, problem: { ...problem, nodes: [...problem.nodes] } })),
  );
  expect(violations.map((violation) => violation.rule)).toContain(rule);
});

test('one that keeps them is not', async () => {
  expect(
    await violationsOf(
      changed((plan) => plan),
      problems,
    ),
  ).toEqual([]);
});
