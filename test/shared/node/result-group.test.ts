import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResultGroup } from '../../../shared/node/result-group.ts';
import type { ResultMessage } from '../../../shared/protocol/messages/work.ts';
import { PART_LIMIT_BYTES } from '../../../shared/protocol/parts.ts';
import { encode } from '../../../shared/runtime/cbor.ts';

function done(t_id: number, bytes: number): ResultMessage['tiles'][number] {
  const region = {
    tensor: 'features/conv2_2/relu',
    box: [[0, 1] as [number, number], [0, 64] as [number, number], [0, 112] as [number, number]],
    dtype: 'uint8' as const,
    shape: [bytes],
    codec: { name: 'raw' as const },
    d: new Uint8Array(bytes),
  };
  return { t_id, out: [region], compute_ms: 12.25 };
}

describe('ResultGroup', () => {
  it('combines small tiles until the work is done, or else each costs a message', () => {
    const group = new ResultGroup(256 * 1024);
    expect([0, 1, 2].flatMap((id) => group.add(done(id, 1000)))).toEqual([]);
    expect(group.rest()?.map((tile) => tile.t_id)).toEqual([0, 1, 2]);
    expect(group.rest()).toBeUndefined();
  });

  it('sends an error at once and alone, or else central re-sends the tile late', () => {
    const group = new ResultGroup(256 * 1024);
    group.add(done(0, 1000));
    expect(group.add({ t_id: 1, error: { code: 'busy', text: '' } })).toEqual([
      [{ t_id: 1, error: { code: 'busy', text: '' } }],
    ]);
    expect(group.rest()?.map((tile) => tile.t_id)).toEqual([0]);
  });

  it('loses no outcome and fits every batch of several tiles into one message', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 12 }), (sizes) => {
        const group = new ResultGroup(256 * 1024);
        const batches = sizes.flatMap((size, id) => group.add(done(id, size)));
        const rest = group.rest();
        if (rest !== undefined) batches.push(rest);
        expect(batches.flat().map((tile) => tile.t_id)).toEqual([...sizes.keys()]);
        for (const tiles of batches) {
          if (tiles.length === 1) continue;
          const message = { v: 1, plan: `p-${'0'.repeat(64)}`, i_id: '1-1', stage: 0, attempt: 0, n_id: 'n', tiles };
          expect(encode(message).byteLength).toBeLessThanOrEqual(PART_LIMIT_BYTES);
        }
      }),
      { numRuns: 40 },
    );
  });
});
