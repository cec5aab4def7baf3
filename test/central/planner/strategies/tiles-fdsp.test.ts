import { expect, test } from 'vitest';
import { ZOO } from '../../../../bench/zoo/networks.ts';
import { tilesFdsp } from '../../../../central/planner/strategies/tiles-fdsp.ts';
import { isNoPlan, type Problem } from '../../../../central/planner/strategy.ts';
import { resolveModel } from '../../../../shared/onnx/resolve.ts';
import type { Plan } from '../../../../shared/plan/plan.ts';
import { clusterOf, smallNetwork } from '../tiling/clusters.ts';

function plansOf(problem: Problem): readonly Plan[] {
  const plans = tilesFdsp.propose(problem);
  if (isNoPlan(plans)) throw new Error(plans.reason);
  return plans;
}

const zero = (problem: Problem): Problem => ({
  ...problem,
  constraints: { ...problem.constraints, padding: 'zero' },
});

test('VGG-16 on eight nodes: one stage of strips of 32 rows (or columns) through the last pooling', () => {
  const resolved = resolveModel(ZOO.get('vgg-16')!.build({ width: 0.25 }));
  const slow = 2;
  const problem = clusterOf({ resolved }, [...new Array(8).fill(slow), 100 * slow], { mbps: 1000 });
  const nodes = problem.nodes.map((node) => ({ ...node, splits: ['whole', 'tiles'] }));
  const [{ stages }] = plansOf(zero({ ...problem, nodes })) as [Plan];
  expect(stages[0]).toMatchObject({ outputs: [expect.stringMatching(/pool_31/)] });
  expect([[1, 1, 1, 1, 1, 1, 1], [7]]).toContainEqual(stages[0]!.split.kind === 'tiles' && stages[0]!.split.rows);
  expect(new Set(stages[0]!.on.parts)).toHaveProperty('size', 7);
});

const network = smallNetwork(2, 16);
const trained = [{ after: network.skip, grid: { rows: 2, cols: 2 }, padding: 'zero' as const }];

test('a network that was retrained keeps its end and its grid, with more tiles for a faster node', () => {
  const problem = clusterOf(network, [10, 30, 1000], { trained, mbps: 1000 });
  const [{ stages }] = plansOf(problem) as [Plan];
  expect(stages[0]).toMatchObject({
    outputs: [network.skip],
    split: { kind: 'tiles', padding: 'zero', rows: [4, 4], cols: [4, 4] },
  });
  expect(stages[0]!.on.parts!.filter((node) => node === 'pi-1')).toHaveLength(3);
});

test('a network that was not retrained is left to others, unless the user asks for such tiles', () => {
  const problem = clusterOf(network, [10, 10, 1000]);
  expect(tilesFdsp.propose(problem)).toMatchObject({ kind: 'not-asked', hint: expect.stringContaining('retraining') });
  expect(plansOf(zero(problem))[0]!.stages[0]!.split).toMatchObject({ padding: 'zero' });
});

test('a bound for the agreement is not met, since that of tiles without halo was not measured', () => {
  const problem = clusterOf(network, [10, 10, 1000], { trained });
  const constraints = { ...problem.constraints, agreement: 0.9 };
  expect(tilesFdsp.propose({ ...problem, constraints })).toMatchObject({
    kind: 'impossible',
    reason: expect.stringContaining('--min-agreement'),
  });
});
