import { expect, test } from 'vitest';
import type { CodecSpec } from '../../../shared/codec/spec.ts';
import { missingCodecs } from '../../../shared/plan/capabilities.ts';
import type { Plan } from '../../../shared/plan/plan.ts';

/** A node that cannot encode an output, or decode an input, refuses every tile. */

const clip: CodecSpec = { name: 'clip', a: 0, b: 1, bits: 4 };
const stage = (id: number, input: string, output: string, codec: Record<string, CodecSpec>) =>
  ({
    id,
    inputs: [input],
    outputs: [output],
    split: { kind: 'whole' },
    on: { mode: 'share', nodes: '*' },
    fallback: 'central',
    codec,
  }) as const;

const plan: Plan = {
  format: 'tessera-plan/1',
  id: 'p-000001',
  model: '',
  source: 'central',
  strategy: 'test',
  reason: '',
  stages: [stage(0, 'x', 'a', { a: clip }), stage(1, 'a', 'b', { b: { name: 'packed' } }), stage(2, 'b', 'c', {})],
  predicted: null,
};

test.each([
  { stages: [0], announced: ['raw', 'clip'], missing: [] },
  { stages: [0], announced: ['raw', 'packed'], missing: ['clip'] },
  { stages: [1], announced: ['raw', 'packed'], missing: ['clip'], why: 'its input comes clipped' },
  { stages: [2], announced: ['raw'], missing: [], why: 'only clipped tensors go on as they came' },
  { stages: [0, 1, 2], announced: [], missing: ['clip', 'packed', 'raw'] },
])('stages $stages for a node with $announced: $missing', ({ stages, announced, missing }) => {
  expect(missingCodecs(plan, stages, announced).sort()).toEqual(missing);
});
