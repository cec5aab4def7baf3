import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PreparedPlan } from '../../../shared/node/executor-types.ts';
import { maySend, regionFault } from '../../../shared/node/tensor-check.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import type { WireRegion } from '../../../shared/protocol/messages/region.ts';

type Placement = Plan['stages'][number]['on'];

function prepared(on: Placement, more: Partial<Plan['stages'][number]> = {}, source = 'central'): PreparedPlan {
  const about = { split: { kind: 'whole' }, fallback: 'none', codec: {} } as const;
  const plan: Plan = {
    format: 'tessera-plan/1',
    id: 'p-000001',
    model: '',
    source,
    strategy: '',
    reason: '',
    stages: [
      { id: 0, inputs: ['x'], outputs: ['a'], on, ...about, ...more },
      { id: 1, inputs: ['a', 'x'], outputs: ['y'], on: { mode: 'share', nodes: ['n-9'] }, ...about },
    ],
    predicted: null,
  };
  const read = {
    tensor: 'a',
    box: [
      [0, 1],
      [2, 8],
    ],
  } as const;
  const frame = { tensor: 'x', box: [[0, 4]] } as const;
  const tensors = new Map([
    ['a', { dtype: 'float32' as const, areCodes: true }],
    ['x', { dtype: 'uint8' as const, areCodes: false }],
  ]);
  return { plan, stages: new Map([[1, { parts: new Map([[0, { in: [read, frame], out: [] }]]), tensors }]]) };
}

const region: WireRegion = {
  tensor: 'a',
  box: [
    [0, 1],
    [2, 6],
  ],
  dtype: 'float32',
  shape: [1, 4],
  codec: { name: 'clip', a: 0, b: 1, bits: 4 },
  d: new Uint8Array(3),
};
const shared: Placement = { mode: 'share', nodes: ['n-1', 'n-2'] };

describe('a region of another node', () => {
  it('is accepted from those that the plan lets have its tensor', () => {
    const accepts = (from: string, plan: PreparedPlan): boolean => regionFault(plan, from, region) === undefined;
    expect(['n-1', 'n-2', 'n-9', 'central'].map((from) => accepts(from, prepared(shared)))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(accepts('n-3', prepared(shared))).toBe(false);
    expect(accepts('n-3', prepared({ mode: 'share', nodes: '*' }))).toBe(true);
    expect(accepts('n-3', prepared({ mode: 'share', tier: 'edge' }))).toBe(true);
    expect(accepts('n-3', prepared(shared, { fallback: 'nodes' }))).toBe(true);
    expect(accepts('n-3', prepared(shared, { fallback: 'central' }))).toBe(false);
    expect(accepts('n-2', prepared({ ...shared, parts: ['n-1'] }))).toBe(false);
  });

  it('of the frame is accepted from its birthplace and its readers', () => {
    const pixels: WireRegion = {
      ...region,
      tensor: 'x',
      box: [[0, 4]],
      dtype: 'uint8',
      shape: [4],
      codec: { name: 'raw' },
      d: new Uint8Array(4),
    };
    expect(regionFault(prepared(shared, {}, 'n-7'), 'n-7', pixels)).toBeUndefined();
    expect(regionFault(prepared(shared), 'n-7', pixels)).toContain('does not let it have "x"');
    expect(regionFault(prepared(shared, {}, 'topic'), 'n-7', pixels)).toBeUndefined();
    expect(regionFault(prepared(shared), 'n-1', pixels)).toBeUndefined();
  });

  const bad: [string, Partial<WireRegion>][] = [
    ['of a tensor that the plan does not have', { tensor: 'z' }],
    ['of a tensor that nobody here reads', { tensor: 'y' }],
    [
      'of a box that nobody here reads',
      {
        box: [
          [0, 1],
          [0, 4],
        ],
      },
    ],
    ['of another rank', { box: [[2, 6]] }],
    ['of another type', { dtype: 'float64' }],
    ['of codes that say float', { codec: { name: 'raw' } }],
    ['of another shape', { shape: [4, 1] }],
    ['of a codec that cannot carry it', { dtype: 'float32', codec: { name: 'zip' as 'raw' } }],
    ['of far too many bytes', { d: new Uint8Array(2000) }],
  ];
  it.each(bad)('%s is not accepted', (_, change) => {
    expect(regionFault(prepared(shared), 'n-1', region)).toBeUndefined();
    expect(regionFault(prepared(shared), 'n-1', { ...region, ...change })).toBeDefined();
  });
});

it('whatever a region says, it is accepted or refused, and never more than a part here reads', () => {
  const range = fc.tuple(fc.nat(9), fc.nat(9)).map(([a, b]): [number, number] => [a, b]);
  const made = fc.record({
    tensor: fc.constantFrom('a', 'x', 'y', '__proto__', ''),
    box: fc.array(range, { maxLength: 3 }),
    dtype: fc.constantFrom('float32' as const, 'uint8' as const, 'int64' as const),
    shape: fc.array(fc.nat(9), { maxLength: 3 }),
    codec: fc.constantFrom(
      { name: 'raw' as const },
      { name: 'packed' as const },
      { name: 'q8' as const, per: 'channel' as const },
      region.codec,
    ),
    d: fc.uint8Array({ maxLength: 40 }),
  });
  fc.assert(
    fc.property(made, (one) => {
      if (regionFault(prepared(shared, {}, 'n-1'), 'n-1', one) !== undefined) return;
      const reach =
        one.tensor === 'a'
          ? [
              [0, 1],
              [2, 8],
            ]
          : [[0, 4]];
      expect(
        one.box.every(([start, end], axis) => reach[axis]![0]! <= start && start <= end && end <= reach[axis]![1]!),
      ).toBe(true);
      expect(one.shape).toEqual(one.box.map(([start, end]) => end - start));
    }),
    { numRuns: 2000 },
  );
});

it('nodes that a plan does not name are not listened to', () => {
  expect(['n-1', 'n-3', 'n-9', 'central'].map((node) => maySend(prepared(shared), node))).toEqual([
    true,
    false,
    true,
    true,
  ]);
});
