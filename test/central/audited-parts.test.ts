import { expect, test } from 'vitest';
import { AuditedParts } from '../../central/audited-parts.ts';
import type { UntimedEvent } from '../../central/coordinator/events.ts';
import { partsAgree } from '../../central/data-plane/parts-agree.ts';
import type { PlanGeometry } from '../../shared/plan/compiled-plan.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';

/**
 * If rounding differences that a network amplifies count as wrong answers, honest nodes with other processors are
 * excluded.
 */

const SIZE = 4096;
const box: [number, number][] = [[0, SIZE]];
const spec = { dtype: 'float32', shape: [SIZE] } as const;
const geometry: PlanGeometry = {
  quantised: new Map(),
  rounding: 'smooth',
  specs: new Map([
    ['x', spec],
    ['y', spec],
  ]),
  stages: [{ parts: [{ t_id: 0, in: [{ tensor: 'x', box }], out: [{ tensor: 'y', box, codec: { name: 'raw' } }] }] }],
};
const region = (tensor: string, values: Float32Array): WireRegion => ({
  tensor,
  box,
  dtype: 'float32',
  shape: [SIZE],
  codec: { name: 'raw' },
  d: new Uint8Array(values.slice().buffer),
});

/** InstanceNormalization of one channel, as processors do it that add so many numbers at a time. */
function normalised(x: Float32Array, lanes: 8 | 16 | 32): Float32Array {
  const f = Math.fround;
  const sum = (values: Float32Array): number => {
    const sums = new Float32Array(lanes);
    for (let i = 0; i < values.length; i++) sums[i % lanes] = f(sums[i % lanes]! + values[i]!);
    return sums.reduce((all, lane) => f(all + lane), 0);
  };
  const mean = f(sum(x) / x.length);
  const variance = f(sum(x.map((value) => f(value - mean) ** 2)) / x.length);
  return x.map((value) => f(f(value - mean) / f(Math.sqrt(f(variance + f(1e-5))))));
}

async function judged(x: Float32Array, first: Float32Array, second: Float32Array, isOwn = false) {
  const told: UntimedEvent[] = [];
  const audits = new AuditedParts({
    data: {
      agree: async ({ stage, t_id }, one, other, perturbed) => partsAgree(geometry, stage, t_id, one, other, perturbed),
    },
    executor: {
      run: async ({ tiles }, onPart) => {
        for (const tile of tiles) {
          const values = new Float32Array(inlineRegions(tile.in)[0]!.d.buffer);
          onPart({ t_id: 0, out: [region('y', normalised(values, 32))], compute_ms: 1 });
        }
      },
    },
    tell: (event) => told.push(event),
  });
  audits.begin('a', { plan: 'p-1', stage: 0, t_id: 0 }, [region('y', first)]);
  const out = [{ tensor: 'y', box, codec: { name: 'raw' } as const, to: ['central'] }];
  audits.keepInputs('a', [{ t_id: 0, in: [region('x', x)], out }], isOwn);
  await audits.compare('a', [region('y', second)]);
  if (!isOwn) await audits.judge('a');
  return told;
}

const even = new Float32Array(SIZE).fill(50.3);
const uneven = Float32Array.from({ length: SIZE }, (_, k) => 50 + Math.sin(k));

test('nodes whose processors sum in different orders agree on a picture of one colour', async () => {
  const [neon, avx, own] = ([8, 16, 32] as const).map((lanes) => normalised(even, lanes));
  expect(await judged(even, neon!, avx!)).toEqual([
    { type: 'compared', audit: 'a', agree: false },
    { type: 'judged', audit: 'a', said: { suspect: true, auditor: true } },
  ]);
  expect(await judged(even, neon!, own!, true)).toEqual([{ type: 'compared', audit: 'a', agree: true }]);
});

test('a node with a wrong answer is found on such a picture too', async () => {
  const own = normalised(uneven, 32);
  const lie = own.map((value, k) => (k === 7 ? value + 0.05 : value));
  const honest = normalised(uneven, 8);
  expect(await judged(uneven, lie, honest)).toEqual([
    { type: 'compared', audit: 'a', agree: false },
    { type: 'judged', audit: 'a', said: { suspect: false, auditor: true } },
  ]);
  expect(await judged(uneven, lie, own, true)).toEqual([{ type: 'compared', audit: 'a', agree: false }]);
  const far = even.map(() => 7);
  expect(await judged(even, far, normalised(even, 32), true)).toEqual([{ type: 'compared', audit: 'a', agree: false }]);
});
