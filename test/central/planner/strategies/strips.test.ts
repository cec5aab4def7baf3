import { expect, test } from 'vitest';
import { strips } from '../../../../central/planner/strategies/strips.ts';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { clusterOf, smallNetwork } from '../tiling/clusters.ts';

const network = smallNetwork(4, 64);

test('tile stages are strips, and those in the middle, which have two halos, are not the highest', () => {
  const problem = clusterOf(network, [50, 50, 50, 50, 50, 5000], { mbps: 1000 });
  const plans = strips.propose(problem);
  if (isNoPlan(plans)) throw new Error(plans.reason);
  const tiled = plans[0]!.stages.flatMap(({ split }) => (split.kind === 'tiles' ? [split] : []));
  expect(tiled.length).toBeGreaterThan(0);
  for (const { rows, cols } of tiled) {
    expect(Math.min(rows.length, cols.length)).toBe(1);
    const sizes = rows.length > 1 ? rows : cols;
    expect(Math.max(...sizes.slice(1, -1))).toBeLessThanOrEqual(Math.max(sizes[0]!, sizes.at(-1)!));
  }
});

test('strips that the user set keep their sizes', () => {
  const problem = clusterOf(network, [50, 50, 5000], { mbps: 1000 });
  const grid = { rows: 2, cols: 1, rowSizes: [3, 29] };
  const constraints = { ...problem.constraints, grid, cuts: [[network.skip]] };
  const plans = strips.propose({ ...problem, constraints });
  if (isNoPlan(plans)) throw new Error(plans.reason);
  expect(plans[0]!.stages[0]).toMatchObject({ split: { kind: 'tiles', rows: [3, 29], cols: [32] } });
});
