import { describe, expect, it } from 'vitest';
import { fusedTimes } from '../../../../central/planner/profile/fused-times.ts';
import { type BlockRange, runsToMeasure } from '../../../../central/planner/profile/runs.ts';

const BLOCKS = 24;
const types = Array.from({ length: BLOCKS }, (_, block) => ['Conv', 'Relu', 'Add'][block % 3]!);
/** Times alone and in runs: activations are free there, convolutions take 60 %, additions as long as alone. */
const alone = types.map((type, block) => (type === 'Conv' ? 5 + (block % 7) : 1));
const inRuns = types.map((type, block) => ({ Conv: 0.6, Relu: 0, Add: 1 })[type]! * alone[block]!);
const time = ([first, last]: BlockRange) => inRuns.slice(first, last + 1).reduce((sum, ms) => sum + ms, 0);
const runs = runsToMeasure(BLOCKS)
  .slice(BLOCKS)
  .map((blocks) => ({ blocks, ms: time(blocks) }));
const predicted = (block_ms: readonly number[], [first, last]: BlockRange) =>
  block_ms.slice(first, last + 1).reduce((sum, ms) => sum + ms, 0);

describe('times of blocks in runs', () => {
  it('give the times of runs that were not measured, where one ratio for all is far off', () => {
    const found = fusedTimes(types, { block_ms: alone, runs })!;
    const others: BlockRange[] = [
      [0, 4],
      [3, 9],
      [5, 21],
      [10, 16],
      [7, 23],
    ];
    for (const run of others) expect(predicted(found.block_ms, run) / time(run)).toBeCloseTo(1, 1);
    expect(found.error).toBeLessThan(0.05);
  });

  it('follow a block that differs from others of its operator', () => {
    const odd = 12;
    const slower = runs.map(({ blocks, ms }) => {
      const has = blocks[0] <= odd && odd <= blocks[1];
      return { blocks, ms: has ? ms + 20 : ms };
    });
    const found = fusedTimes(types, { block_ms: alone, runs: slower })!;
    const [whole, part] = [predicted(found.block_ms, [0, 23]), predicted(found.block_ms, [12, 14])];
    expect(whole / (time([0, 23]) + 20)).toBeCloseTo(1, 1);
    expect(part).toBeGreaterThan(0.7 * (time([12, 14]) + 20));
  });

  it('say how wrong a run is that is predicted from the others', () => {
    const noisy = runs.map(({ blocks, ms }, index) => ({ blocks, ms: index % 2 === 0 ? ms : 2 * ms }));
    expect(fusedTimes(types, { block_ms: alone, runs: noisy })!.error).toBeGreaterThan(0.2);
  });

  it('are unknown without runs', () => {
    expect(fusedTimes(['Conv'], { block_ms: [1], runs: [{ blocks: [0, 0], ms: 1 }] })).toBeUndefined();
  });
});
