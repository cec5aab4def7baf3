import { describe, expect, test } from 'vitest';
import { type Problem, STRATEGIES } from '../../../central/planner/strategies.ts';
import { checkPlan, parsePlan } from '../../../shared/plan/validate.ts';

/** A network with a skip over both cuts and an output of its own before the second. */
const problem: Problem = {
  model: 'b'.repeat(64),
  source: 'central',
  inputs: ['image'],
  outputs: ['early', 'prob'],
  cuts: [
    { tensors: ['pool2', 'skip'], outputs: [], rows: [2, 2], cols: [2, 2] },
    { tensors: ['pool4', 'skip'], outputs: ['early'], rows: [1], cols: [2, 1, 1] },
  ],
  padding: 'halo',
  nodes: '*',
};

/** Every strategy has to pass these. */
describe.each([...STRATEGIES.values()])('$name', (strategy) => {
  test('makes valid plans that compute all outputs of the model', () => {
    const plans = strategy.make(problem);
    expect(plans.length).toBeGreaterThan(0);
    for (const plan of plans) {
      expect(parsePlan(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
      checkPlan(plan, problem);
      expect(plan.strategy).toBe(strategy.name);
      expect(plan.reason).not.toBe('');
    }
  });

  test('is deterministic, and different plans have different ids', () => {
    const ids = strategy.make(problem).map((plan) => plan.id);
    expect(strategy.make(problem).map((plan) => plan.id)).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('copes with a graph that cannot be cut', () => {
    for (const plan of strategy.make({ ...problem, cuts: [] })) checkPlan(plan, problem);
  });
});

const make = (name: string, given = problem) => STRATEGIES.get(name)!.make(given);

test('tiles-prefix: the deepest cut first, tiles on the nodes, the rest on central', () => {
  const [deep, shallow] = make('tiles-prefix');
  expect(shallow!.stages[0]).toMatchObject({ inputs: ['image'], outputs: ['pool2', 'skip'] });
  expect(deep!.stages).toMatchObject([
    {
      id: 0,
      inputs: ['image'],
      outputs: ['pool4', 'skip', 'early'],
      split: { kind: 'tiles', padding: 'halo', rows: [1], cols: [2, 1, 1] },
      on: { mode: 'share', nodes: '*' },
    },
    { id: 1, inputs: ['pool4', 'skip'], outputs: ['prob'], split: { kind: 'whole' }, on: { nodes: ['central'] } },
  ]);
});

test('tiles-prefix: without a rest there is no second stage', () => {
  const cuts = [{ tensors: [], outputs: ['early', 'prob'], rows: [1, 1], cols: [1] }];
  expect(make('tiles-prefix', { ...problem, cuts })[0]!.stages).toHaveLength(1);
});

test('two-stage: the second stage makes what the first has not', () => {
  const [plan] = make('two-stage');
  expect(plan!.stages).toMatchObject([
    { inputs: ['image'], outputs: ['pool2', 'skip'], split: { rows: [2, 2] } },
    { inputs: ['pool2', 'skip'], outputs: ['pool4', 'early'], split: { rows: [1] } },
    { inputs: ['pool4', 'skip'], outputs: ['prob'], on: { nodes: ['central'] } },
  ]);
});

test('whole-replicate and whole-central: one stage, on one node and on central', () => {
  expect(make('whole-replicate')[0]!.stages).toMatchObject([{ on: { mode: 'replicate', nodes: '*' } }]);
  expect(make('whole-central')[0]!.stages).toMatchObject([{ on: { nodes: ['central'] } }]);
});
