import { expect, test } from 'vitest';
import { predict } from '../../../../central/planner/cost/predict.ts';
import { sketch } from '../../../../central/planner/cost/sketch.ts';
import { parseProfile } from '../../../../central/planner/profile/parse.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { replicate } from '../../../../central/planner/strategies/replicate.ts';
import type { Plan } from '../../../../shared/plan/plan.ts';
import { nodesOf, proposed } from './proposed.ts';

/** A camera's machine that is fast at the first block only, and three equal boxes behind a fast link. */
const ids = ['box-1', 'box-2', 'box-3'];
const problem = problemOfProfile(
  parseProfile({
    model: 'slow-middle',
    input_bytes: 1000,
    source: 'pi',
    blocks: [
      { name: 'a', output_bytes: 1000 },
      { name: 'b', output_bytes: 1000 },
    ],
    nodes: [
      { id: 'pi', tier: 'device', block_ms: [10, 90] },
      ...ids.map((id) => ({ id, tier: 'edge', block_ms: [30, 30] })),
    ],
    links: ids.map((to) => ({ from: 'pi', to, rtt_ms: 1, mbps: 800 })),
  }),
);

const periodOf = (plan: Plan): number => predict(problem, sketch(plan, problem.graph)).period_ms;

test('each frame whole on one of all nodes, and the slow stage of a pipeline on one of several', () => {
  const [whole, pipeline] = proposed(replicate, problem);
  expect(whole!.stages).toMatchObject([{ on: { mode: 'replicate', nodes: ['pi', ...ids] } }]);
  expect(nodesOf(pipeline!)).toEqual([['pi'], ids]);
  expect(pipeline!.stages.map(({ on }) => on.mode)).toEqual(['share', 'replicate']);
  // Three boxes take 30 ms each for b, the camera's machine 10 ms for a.
  expect(periodOf(pipeline!)).toBeCloseTo(10, 6);
  expect(periodOf(whole!)).toBeGreaterThan(10);
});

test('without measurements only whole frames, on any node', () => {
  const nodes = problem.nodes.map(({ times: _, ...node }) => node);
  const plans = proposed(replicate, { ...problem, nodes });
  expect(plans).toMatchObject([{ stages: [{ on: { mode: 'replicate', nodes: '*' } }] }]);
});

test('only on nodes that frames reach and that the user does not avoid', () => {
  const links = problem.links.slice(0, 2);
  const constraints = { ...problem.constraints, avoid: ['device'] };
  expect(nodesOf(proposed(replicate, { ...problem, links, constraints })[0]!)).toEqual([['box-1', 'box-2']]);
  expect(replicate.propose({ ...problem, links: [], constraints })).toMatchObject({ kind: 'impossible' });
});
