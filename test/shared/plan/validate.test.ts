import { expect, test } from 'vitest';
import type { TesseraError } from '../../../shared/errors.ts';
import type { Plan, Stage } from '../../../shared/plan/plan.ts';
import { planId } from '../../../shared/plan/plan-id.ts';
import { checkPlan, parsePlan } from '../../../shared/plan/validate.ts';

const good: Plan = {
  format: 'tessera-plan/1',
  id: 'p-3f9a1c',
  model: 'a'.repeat(64),
  source: 'central',
  strategy: 'by hand',
  reason: '',
  stages: [
    {
      id: 0,
      inputs: ['image'],
      outputs: ['pool3', 'skip'],
      split: { kind: 'tiles', padding: 'halo', rows: [7, 7], cols: [4, 4, 3, 3] },
      on: { mode: 'share', nodes: '*' },
      fallback: 'central',
      codec: { pool3: { name: 'raw' } },
    },
    {
      id: 1,
      inputs: ['pool3'],
      outputs: ['pool5'],
      split: { kind: 'channels', sizes: [256, 256] },
      on: { mode: 'replicate', tier: 'edge' },
      fallback: 'central',
      codec: {},
    },
    {
      id: 2,
      inputs: ['pool5', 'skip', 'image'],
      outputs: ['prob'],
      split: { kind: 'whole' },
      on: { mode: 'share', nodes: ['central', 'pi-1'] },
      fallback: 'central',
      codec: {},
      exit: { tensor: 'prob', threshold: 0.9 },
    },
  ],
  predicted: { latency_ms: 12.5 },
};

/** The message of the refusal of `good` with one change. */
function refusal(change: (plan: Record<string, never> & { stages: Record<string, unknown>[] }) => void): string {
  const plan = structuredClone(good) as never;
  change(plan);
  try {
    parsePlan(plan);
  } catch (error) {
    expect((error as TesseraError).code).toBe('TESSERA_PLAN_INVALID');
    expect((error as TesseraError).hint).toBeTruthy();
    return (error as TesseraError).message;
  }
  return 'accepted';
}

test('a plan survives JSON unchanged', () => {
  expect(parsePlan(JSON.parse(JSON.stringify(good)))).toEqual(good);
});

test('without `fallback` a plan means central; parts may be pinned to nodes; frames may come from a topic', () => {
  const [first, second, { fallback: _, ...third }] = good.stages as [Stage, Stage, Stage];
  expect(parsePlan({ ...good, stages: [first, second, third] })).toEqual(good);
  const pinned: Stage = { ...second, on: { mode: 'share', tier: 'edge', parts: ['pi-1', 'pi-2'] } };
  const asked = {
    ...good,
    source: 'topic',
    stages: [first, pinned, { ...good.stages[2]!, fallback: 'none' as const }],
  };
  expect(parsePlan(asked)).toEqual(asked);
});

test('keys of later versions are ignored', () => {
  expect(parsePlan({ ...good, colour: 'red' })).toEqual(good);
});

test.each([
  ['format', (plan) => Object.assign(plan, { format: 'tessera-plan/9' })],
  ['id', (plan) => Object.assign(plan, { id: 'p-xyz' })],
  ['model', (plan) => Object.assign(plan, { model: 'vgg' })],
  ['source', (plan) => Object.assign(plan, { source: 'Camera One' })],
  ['stages', (plan) => Object.assign(plan, { stages: [] })],
  ['stages[0].id', (plan) => Object.assign(plan.stages[0]!, { id: 1 })],
  ['stages[0].inputs', (plan) => Object.assign(plan.stages[0]!, { inputs: [] })],
  ['stages[0].inputs', (plan) => Object.assign(plan.stages[0]!, { inputs: ['pool5'] })],
  ['stages[0].inputs', (plan) => Object.assign(plan.stages[0]!, { inputs: ['pool3'] })],
  ['stages[2].outputs', (plan) => Object.assign(plan.stages[2]!, { outputs: ['a', 'a'] })],
  ['stages[2].outputs', (plan) => Object.assign(plan.stages[2]!, { outputs: ['skip'] })],
  ['stages[0].split.rows', (plan) => Object.assign(plan.stages[0]!.split as object, { rows: [0, 14] })],
  ['stages[0].split.cols', (plan) => Object.assign(plan.stages[0]!.split as object, { cols: [1.5] })],
  ['stages[0].split.kind', (plan) => Object.assign(plan.stages[0]!.split as object, { kind: 'diagonal' })],
  ['stages[0].split', (plan) => Object.assign(plan.stages[0]!.split as object, { rows: new Array(1025).fill(1) })],
  ['stages[0].on', (plan) => Object.assign(plan.stages[0]!, { on: { mode: 'share' } })],
  ['stages[0].on', (plan) => Object.assign(plan.stages[0]!, { on: { mode: 'share', nodes: '*', tier: 'edge' } })],
  ['stages[2].on.nodes', (plan) => Object.assign(plan.stages[2]!, { on: { mode: 'share', nodes: ['Pi 1'] } })],
  ['stages[0].fallback', (plan) => Object.assign(plan.stages[0]!, { fallback: 'cloud' })],
  ['stages[0].fallback', (plan) => Object.assign(plan.stages[0]!, { fallback: [] })],
  ['stages[0].fallback', (plan) => Object.assign(plan.stages[0]!, { fallback: ['Pi 1'] })],
  ['stages[0].on.parts', (plan) => Object.assign(plan.stages[0]!.on as object, { parts: ['pi-1', 'pi-2'] })],
  ['stages[1].on.parts', (plan) => Object.assign(plan.stages[1]!.on as object, { parts: ['pi-1', 'pi-2'] })],
  ['stages[2].on.parts', (plan) => Object.assign(plan.stages[2]!.on as object, { parts: ['pi-2'] })],
  ['stages[0].codec', (plan) => Object.assign(plan.stages[0]!, { codec: { prob: { name: 'raw' } } })],
  ['stages[0].codec.pool3.name', (plan) => Object.assign(plan.stages[0]!, { codec: { pool3: { name: 'zip' } } })],
  ['stages[1].exit.tensor', (plan) => Object.assign(plan.stages[1]!, { exit: { tensor: 'prob', threshold: 1 } })],
  ['stages[0].exit', (plan) => Object.assign(plan.stages[0]!, { exit: { tensor: 'pool3', threshold: 1 } })],
  ['predicted.latency_ms', (plan) => Object.assign(plan, { predicted: { latency_ms: -1 } })],
] satisfies [string, Parameters<typeof refusal>[0]][])('what is wrong in %s is named', (field, change) => {
  expect(refusal(change)).toContain(`plan: ${field}`);
});

test.each([undefined, null, 7, 'plan', [], {}])('%j is no plan', (value) => {
  expect(() => parsePlan(value)).toThrowError(/plan/);
});

test('with its model: inputs must be known, outputs must be made', () => {
  checkPlan(good, { inputs: ['image'], outputs: ['prob'] });
  expect(() => checkPlan(good, { inputs: ['picture'], outputs: ['prob'] })).toThrowError(/"image" is neither/);
  expect(() => checkPlan(good, { inputs: ['image'], outputs: ['boxes'] })).toThrowError(/no stage makes "boxes"/);
  expect(() => checkPlan(good, { inputs: ['image', 'skip'], outputs: [] })).toThrowError(/"skip" is an input/);
});

test('the id depends on what a plan does, not on its reason or the order of keys', () => {
  const id = planId(good);
  expect(id).toMatch(/^p-[0-9a-f]{12}$/);
  expect(planId({ ...good, reason: 'because', strategy: 'other' } as Plan)).toBe(id);
  const turned = good.stages.map((stage) => Object.fromEntries(Object.entries(stage).reverse()));
  expect(planId({ ...good, stages: turned } as unknown as Plan)).toBe(id);
  expect(planId({ ...good, source: 'pi-1' })).not.toBe(id);
  expect(planId({ ...good, stages: good.stages.slice(0, 2) })).not.toBe(id);
  // Stored plan files contain ids: these must not change. The second one's exit lies where none is allowed any more.
  expect(id).toBe('p-54469d8afb6d');
  const [first, second, { exit: _, ...third }] = good.stages as [Stage, Stage, Stage];
  const exit = { tensor: 'pool5', threshold: 0.9 };
  expect(planId({ ...good, stages: [first, { ...second, exit }, third] })).toBe('p-44bbe93ad499');
});
