import { describe, expect, test } from 'vitest';
import { STRATEGIES } from '../../../central/planner/strategies.ts';
import type { Constraints, NoPlan, Problem, Strategy } from '../../../central/planner/strategy.ts';
import { isNoPlan } from '../../../central/planner/strategy.ts';
import { planningNetwork } from '../../../central/planner/tiler.ts';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { checkPlan, parsePlan } from '../../../shared/plan/validate.ts';
import { Network } from '../../shared/tiling/network.ts';

const pads = [1, 1, 1, 1];

/** Convolutions with a skip over both cuts and an output of its own before the second; then a dense layer. */
function skipping() {
  const net = new Network();
  const image = net.input([1, 3, 32, 32]);
  const skip = net.conv(image, 3, 8, [3, 3], { pads });
  const first = net.op('Relu', [net.conv(skip, 8, 8, [3, 3], { pads })]);
  const second = net.op('Relu', [net.conv(first, 8, 8, [3, 3], { pads })]);
  const early = net.op('Sigmoid', [first]);
  const sum = net.op('Add', [second, skip]);
  const pooled = net.op('Flatten', [net.op('GlobalAveragePool', [sum])]);
  const prob = net.op('Gemm', [pooled, net.weight(8, 5)]);
  return { resolved: net.resolve(early, prob), image, skip, first, second, early, sum, prob };
}

const network = skipping();
const { image, skip, first, second, early, sum, prob } = network;
const frame = { inputs: [image], outputs: [early, prob] };
const constraints: Constraints = { nodes: '*', nodeCount: 4 };

function problemOf(resolved: ResolvedModel, said: Partial<Constraints> = {}, more: Partial<Problem> = {}): Problem {
  const planned = planningNetwork(resolved);
  const layer_ms = planned.graph.layers.map((_, index) => index);
  const times = { layer_ms, runs: [], ratio: 1, error: null };
  const node = { memory_mb: null, codecs: ['raw'], splits: ['whole', 'tiles'], times };
  const ends = ['pi-1', 'pi-2'];
  return {
    model: 'b'.repeat(64),
    ...planned,
    nodes: [...ends.map((id) => ({ ...node, id, tier: 'edge' as const })), { ...node, id: 'central', tier: 'cloud' }],
    links: ends.flatMap((id) => [
      { from: id, to: 'central', rtt_ms: 1, mbps: 100 },
      { from: 'central', to: id, rtt_ms: 1, mbps: 100 },
    ]),
    broker: 'central',
    source: 'central',
    sink: 'central',
    trained: [],
    calibrated: [],
    exits: [],
    constraints: { ...constraints, ...said },
    isNamed: true,
    ...more,
  };
}

const cuts = [
  [first, skip],
  [sum, early],
];
const grid = { rows: 2, cols: 2 };
const problem = problemOf(network.resolved, { cuts, grid });

function plansOf(strategy: Strategy, asked: Problem): readonly Plan[] {
  const proposed = strategy.propose(asked);
  if (isNoPlan(proposed)) throw new Error(proposed.reason);
  return proposed;
}

/** Strategies that have no plan for the problem: why, and what is asked of them instead. */
const DEVIATIONS: Readonly<Record<string, { readonly refusal: string; readonly said: Partial<Constraints> }>> = {
  strips: { refusal: 'the user asked for a grid, not for strips', said: { cuts } },
  'tiles-fdsp': {
    refusal: 'the network was not retrained for tiles without halo, which change its answers',
    said: { cuts, grid, padding: 'zero' },
  },
};

/** Every strategy has to pass these. */
describe.each([...STRATEGIES.values()])('$name', (strategy) => {
  const { refusal, said = { cuts, grid } } = DEVIATIONS[strategy.name] ?? {};
  const asked = problemOf(network.resolved, said);

  if (refusal !== undefined)
    test('has no plan for what is not its own, and says why', () => {
      expect(strategy.propose(problem)).toMatchObject({ kind: 'not-asked', reason: refusal });
    });

  test('makes valid plans that compute all outputs of the model', () => {
    const plans = plansOf(strategy, asked);
    expect(plans.length).toBeGreaterThan(0);
    for (const plan of plans) {
      expect(parsePlan(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
      checkPlan(plan, frame);
      compilePlan(plan, network.resolved);
      expect(plan.strategy).toBe(strategy.name);
      expect(plan.reason).not.toBe('');
    }
  });

  test('has a plan where nothing was measured, or says why it has none', () => {
    const nodes = problem.nodes.map(({ times: _, ...node }) => node);
    const proposed = strategy.propose({ ...asked, nodes });
    if (isNoPlan(proposed)) expect(proposed.reason).toContain('there are no measured times');
    else for (const plan of proposed) checkPlan(plan, frame);
  });

  test('is deterministic, and different plans have different ids', () => {
    const ids = plansOf(strategy, asked).map((plan) => plan.id);
    expect(plansOf(strategy, asked).map((plan) => plan.id)).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('has a plan for a network that tiles cannot pass, or says why it has none', () => {
    const net = new Network();
    const x = net.input([1, 3, 8, 8]);
    const y = net.op('GlobalAveragePool', [x]);
    const proposed = strategy.propose(problemOf(net.resolve(y), { ...said, cuts: undefined, grid: undefined }));
    if (isNoPlan(proposed)) expect(proposed).toMatchObject({ kind: 'impossible', reason: expect.stringMatching(/./) });
    else for (const plan of proposed) checkPlan(plan, { inputs: [x], outputs: [y] });
  });

  test('says why it has no plan for a cut that tiles cannot reach, or does not need the cut', () => {
    const proposed = strategy.propose(problemOf(network.resolved, { ...said, grid: undefined, cuts: [[prob]] }));
    if (isNoPlan(proposed)) expect(proposed.reason).toContain(`tiles cannot reach "${prob}"`);
    else for (const plan of proposed) expect(plan.stages.every(({ split }) => split.kind === 'whole')).toBe(true);
  });

  test('that is not named keeps every cut that is given, or leaves the problem to others', () => {
    const proposed = strategy.propose({ ...asked, isNamed: false });
    if (isNoPlan(proposed)) expect(proposed.kind).toBe('not-asked');
    else for (const { stages } of proposed) expect(stages[0]!.outputs).toEqual(expect.arrayContaining([first, skip]));
  });
});

const named = (name: string) => STRATEGIES.get(name)!;

test('tiles-prefix: the deepest cut first, tiles on the nodes, the rest on central', () => {
  const [deep, shallow] = plansOf(named('tiles-prefix'), problem);
  expect(shallow!.stages[0]).toMatchObject({ inputs: [image], outputs: [skip, first] });
  expect(deep!.stages).toMatchObject([
    {
      id: 0,
      inputs: [image],
      outputs: [sum, early],
      split: { kind: 'tiles', padding: 'halo', rows: [16, 16], cols: [16, 16] },
      on: { mode: 'share', nodes: '*' },
      fallback: 'central',
    },
    { id: 1, inputs: [sum], outputs: [prob], split: { kind: 'whole' }, on: { nodes: ['central'] } },
  ]);
});

test('tiles-prefix: without a rest there is no second stage', () => {
  const net = new Network();
  const x = net.input([1, 3, 16, 16]);
  const y = net.conv(x, 3, 4, [3, 3], { pads });
  expect(plansOf(named('tiles-prefix'), problemOf(net.resolve(y), { grid }))[0]!.stages).toHaveLength(1);
});

test('tiles-prefix: what is slower than one machine is proposed only to those who name it', () => {
  const small = { ...problemOf(network.resolved), isNamed: false };
  const refusal = named('tiles-prefix').propose(small) as NoPlan;
  expect(refusal).toMatchObject({ kind: 'slower', reason: expect.stringMatching(/tiles/) });
  expect(isNoPlan(named('tiles-prefix').propose({ ...small, isNamed: true }))).toBe(false);
});

test('two-stage: the second stage computes what the first does not', () => {
  const [plan] = plansOf(named('two-stage'), problem);
  expect(plan!.stages).toMatchObject([
    { inputs: [image], outputs: [skip, first] },
    { inputs: [skip, first], outputs: [sum, early] },
    { inputs: [sum], outputs: [prob], on: { nodes: ['central'] } },
  ]);
});

test('replicate and single: one stage, on one of the nodes and on central', () => {
  expect(plansOf(named('replicate'), problem)[0]!.stages).toMatchObject([
    { on: { mode: 'replicate', nodes: ['pi-1', 'pi-2', 'central'] } },
  ]);
  expect(plansOf(named('single'), problem)[0]!.stages).toMatchObject([{ on: { nodes: ['central'] } }]);
});

test('the graph that strategies see is plain data, with every operator and the live tensors of every cut', () => {
  const { graph } = problem;
  expect(JSON.parse(JSON.stringify(graph))).toEqual(graph);
  expect(graph.layers.map(({ op }) => op)).toContain('Gemm');
  expect(graph.layers.find(({ outputs }) => outputs[0] === second)?.inputs).toHaveLength(1);
  expect(graph.blocks.map(({ cut }) => cut)).toContainEqual([sum]);
  expect(graph.blocks.at(-1)).toMatchObject({ last: graph.layers.length - 1, cut: [early, prob] });
});
