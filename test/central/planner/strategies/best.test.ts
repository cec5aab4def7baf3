import { expect, test } from 'vitest';
import { bestOf } from '../../../../central/planner/strategies/best.ts';
import { COMPARED } from '../../../../central/planner/strategies.ts';
import { isNoPlan, type Problem } from '../../../../central/planner/strategy.ts';
import { clusterOf, smallNetwork } from '../tiling/clusters.ts';

const best = bestOf(COMPARED);
const network = smallNetwork(4, 32);

function bestPlan(problem: Problem) {
  const plans = best.propose(problem);
  if (isNoPlan(plans)) throw new Error(plans.reason);
  return plans[0]!;
}

test('nothing is divided where links are slow, and tiles are used where they are fast', () => {
  const slow = bestPlan(clusterOf(network, [20, 20, 20, 20], { mbps: 1, rtt_ms: 20 }));
  expect(slow.stages.map(({ split }) => split.kind)).toEqual(['whole']);
  const fast = bestPlan(clusterOf(network, [20, 20, 20, 20], { mbps: 1000 }));
  expect(fast.stages[0]!.split.kind).toBe('tiles');
  expect(fast.reason).toMatch(/^(tiles-fused|strips): /);
});

test('no strategy has a better plan', () => {
  const problem = clusterOf(network, [10, 20, 30, 40], { mbps: 50 });
  const { latency_ms } = bestPlan(problem).predicted!;
  for (const strategy of COMPARED) {
    const plans = strategy.propose(problem);
    if (isNoPlan(plans)) continue;
    for (const plan of plans) expect(plan.predicted?.latency_ms ?? latency_ms).toBeGreaterThanOrEqual(latency_ms);
  }
});

test('without any plan it says why each strategy has none', () => {
  const problem = clusterOf(network, [1]);
  const nodes = problem.nodes.map(({ times: _, ...node }) => node);
  const reason = 'there are no measured times';
  expect(best.propose({ ...problem, nodes })).toMatchObject({ reason: expect.stringContaining(reason) });
});
