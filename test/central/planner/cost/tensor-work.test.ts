import { expect, it } from 'vitest';
import { TensorWork } from '../../../../central/planner/cost/tensor-work.ts';
import type { PlanningNode } from '../../../../central/planner/strategy.ts';

const node = (id: string, part_ms: number, factor: number): PlanningNode => ({
  id,
  tier: 'edge',
  memory_mb: null,
  codecs: ['raw', 'packed'],
  splits: ['whole'],
  part_ms,
  codec_ms: {
    raw: { encode: factor, decode: 2 * factor },
    packed: { encode: 10 * factor, decode: 20 * factor },
  },
});
const work = new TensorWork({ nodes: [node('central', 0.5, 1), node('pi', 2, 3)] });
const packed = { values: 1e6, codec: 'packed' };
const way = { isFrame: false, isAnswer: false };

it('what stays at a node is neither encoded nor decoded, but central hands all tensors over', () => {
  expect(work.encodeMs(packed, 'pi', 'pi') + work.decodeMs(packed, 'pi', 'pi')).toBe(0);
  expect(work.dataMs(packed, { ...way, from: 'pi', to: 'pi' })).toBe(0);
  // Decoded when it comes to the data plane, and raw from there to the part.
  expect(work.dataMs(packed, { ...way, from: 'central', to: 'central' })).toBe(0.5 + 20 + 0.5 + 1);
  expect(work.decodeMs(packed, 'central', 'central')).toBe(2);
});

it('between machines the sender encodes and the receiver decodes', () => {
  expect(work.encodeMs(packed, 'pi', 'x')).toBe(30);
  expect(work.decodeMs(packed, 'x', 'pi')).toBe(60);
  expect(work.encodeMs(packed, 'x', 'pi')).toBe(0);
});

it("central's data plane cuts the frame for parts, and decodes answers", () => {
  const raw = { values: 1e6, codec: 'raw' };
  expect(work.dataMs(raw, { from: 'central', to: 'pi', isFrame: true, isAnswer: false })).toBe(0.5 + 1);
  expect(work.dataMs(packed, { from: 'pi', to: 'central', isFrame: false, isAnswer: true })).toBe(0.5 + 20);
});
