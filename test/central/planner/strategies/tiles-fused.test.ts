import { expect, test } from 'vitest';
import { predict } from '../../../../central/planner/cost/predict.ts';
import { single } from '../../../../central/planner/strategies/single.ts';
import { tilesFused } from '../../../../central/planner/strategies/tiles-fused.ts';
import { isNoPlan, type Problem, type Strategy } from '../../../../central/planner/strategy.ts';
import type { Split, Stage } from '../../../../shared/plan/plan.ts';
import { clusterOf, smallNetwork } from '../tiling/clusters.ts';

function predicted(strategy: Strategy, problem: Problem) {
  const plans = strategy.propose(problem);
  if (isNoPlan(plans)) throw new Error(plans.reason);
  const outline = problem.tiler.outline(plans[0]!);
  if (isNoPlan(outline)) throw new Error(outline.reason);
  return { plan: plans[0]!, ...predict(problem, outline) };
}

type Tiled = Stage & { readonly split: Extract<Split, { kind: 'tiles' }> };
const tiledStages = (stages: readonly Stage[]): Tiled[] =>
  stages.filter((stage): stage is Tiled => stage.split.kind === 'tiles');

const network = smallNetwork(4, 32);

test('on fast links, tiles on slow equal nodes are faster than one of them', () => {
  const problem = clusterOf(network, [20, 20, 20, 20, 20], { mbps: 1000 });
  const fused = predicted(tilesFused, problem);
  expect(fused.latency_ms).toBeLessThan(predicted(single, problem).latency_ms / 2.5);
  expect(fused.plan.predicted!.latency_ms).toBe(fused.latency_ms);
});

test('tiles stay at their nodes, and only halos move', () => {
  const problem = clusterOf(network, [20, 20, 20, 20], { mbps: 1000 });
  const { plan, hops } = predicted(tilesFused, problem);
  const [first, second] = tiledStages(plan.stages);
  expect(second!.on.parts).toEqual(first!.on.parts);
  const [tensor] = second!.inputs;
  const { bytes } = problem.graph.tensors.find(({ name }) => name === tensor)!;
  const moved = hops.filter((hop) => hop.tensor === tensor).reduce((sum, hop) => sum + hop.bytes, 0);
  expect(moved).toBeGreaterThan(0);
  expect(moved).toBeLessThan(bytes / 2);
});

test('a node that is twice as fast has a tile that is about twice as large', () => {
  const problem = clusterOf(network, [10, 20, 20, 1000], { mbps: 10_000, rtt_ms: 0 });
  const { plan, stages } = predicted(tilesFused, problem);
  const [{ on, split, id }] = tiledStages(plan.stages) as [Tiled];
  const sizes = split.rows.length > 1 ? split.rows : split.cols;
  expect(on.parts![0]).toBe('pi-1');
  expect(sizes[0]! / sizes[1]!).toBeGreaterThan(1.5);
  const times = stages[id]!.parts.filter(({ node }) => node !== 'central').map(
    ({ start_ms, end_ms }) => end_ms - start_ms,
  );
  expect(Math.max(...times) / Math.min(...times)).toBeLessThan(1.6);
});

test('a dense layer is split by channels where its weights are the work', () => {
  const problem = clusterOf(network, [20, 20, 20, 20], { mbps: 10_000, rtt_ms: 0 });
  const { plan } = predicted(tilesFused, problem);
  expect(plan.stages.some(({ split, outputs }) => split.kind === 'channels' && outputs.includes(network.hidden))).toBe(
    true,
  );
});

test('nodes that do not announce tiles get none, and a user who asks for tiles without halo is sent elsewhere', () => {
  const problem = clusterOf(network, [20, 20, 20]);
  const nodes = problem.nodes.map((node) => ({ ...node, splits: ['whole'] }));
  expect(tilesFused.propose({ ...problem, nodes })).toMatchObject({ kind: 'impossible' });
  const constraints = { ...problem.constraints, padding: 'zero' as const };
  expect(tilesFused.propose({ ...problem, constraints })).toMatchObject({ kind: 'not-asked' });
});

test('the grid, its sizes and the ends that the user set are kept', () => {
  const grid = { rows: 2, cols: 2, rowSizes: [10, 6], colSizes: [8, 8] };
  const problem = clusterOf(network, [20, 20, 20]);
  const constraints = { ...problem.constraints, grid, cuts: [[network.skip]] };
  const { plan } = predicted(tilesFused, { ...problem, constraints });
  expect(plan.stages[0]).toMatchObject({
    outputs: [network.skip],
    split: { kind: 'tiles', rows: [10, 6], cols: [8, 8] },
  });
});
