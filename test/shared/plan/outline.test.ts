import { expect, test } from 'vitest';
import { compilePlan } from '../../../shared/plan/compile.ts';
import { outlinePlan } from '../../../shared/plan/outline.ts';
import type { Plan, Split, Stage } from '../../../shared/plan/plan.ts';
import { tinyPlan } from '../../support/tiny-network.ts';
import { Network } from '../tiling/network.ts';

/** If these fail, the planner predicts other parts than those that nodes run. */

const pads = [1, 1, 1, 1];

function network() {
  const net = new Network();
  const image = net.input([1, 3, 17, 16]);
  const first = net.op('Relu', [net.conv(image, 3, 8, [3, 3], { pads })]);
  const second = net.conv(first, 8, 8, [3, 3], { pads, strides: [2, 2] });
  const third = net.op('Add', [net.conv(second, 8, 8, [3, 3], { pads }), second]);
  const hidden = net.op('Gemm', [net.op('Flatten', [third]), net.weight(576, 6)]);
  const out = net.op('Gemm', [hidden, net.weight(6, 5)]);
  return { resolved: net.resolve(out), image, second, third, hidden, out };
}

const { resolved, image, second, third, hidden, out } = network();
const halo = { kind: 'tiles', padding: 'halo', rows: [4, 3, 2], cols: [5, 3] } as const;
const whole = { kind: 'whole' } as const;

type Draft = readonly [string, string, Split, Stage['codec']?];

function planOf(...stages: readonly Draft[]): Plan {
  const plan = tinyPlan('b'.repeat(64), whole);
  return {
    ...plan,
    stages: stages.map(([from, to, split, codec = {}], id) => {
      return { ...plan.stages[0]!, id, inputs: [from], outputs: [to], split, codec };
    }),
  };
}

const clip = { name: 'clip', a: 0, b: 2, bits: 4 } as const;

const FORMS: readonly { readonly what: string; readonly stages: readonly Draft[] }[] = [
  {
    what: 'tiles that stay, then slices of channels',
    stages: [
      [image, second, halo],
      [second, third, halo],
      [third, hidden, { kind: 'channels', sizes: [4, 2] }],
      [hidden, out, whole],
    ],
  },
  {
    what: 'tiles without halo, sent as codes',
    stages: [
      [image, second, { ...halo, padding: 'zero', rows: [5, 4] }, { [second]: clip }],
      [second, out, whole],
    ],
  },
  {
    what: 'whole stages',
    stages: [
      [image, third, whole],
      [third, out, whole],
    ],
  },
];

test.each(FORMS)('an outline equals the compiled plan without models: $what', ({ stages }) => {
  const plan = planOf(...stages);
  const { plan: compiled, stages: made, answers, frame_bytes } = compilePlan(plan, resolved);
  const outline = outlinePlan(plan, resolved);
  expect({ ...outline, plan: compiled }).toEqual({
    plan: compiled,
    answers,
    frame_bytes,
    stages: made.map(({ parts }) => ({
      parts: parts.map(({ in: _in, out: regions, ...part }) => ({
        ...part,
        out: regions.map(({ codec: _codec, ...region }) => region),
      })),
    })),
  });
});

test('a stage that does not fit the network has no outline', () => {
  expect(() => outlinePlan(planOf([image, hidden, halo], [hidden, out, whole]), resolved)).toThrow(/tiles cannot pass/);
});
