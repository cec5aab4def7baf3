import { expect, it } from 'vitest';
import { correctionOf } from '../../../../central/planner/profile/correction.ts';

it('is the median time of runs over the sum of their blocks', () => {
  const nodes = [
    {
      block_ms: [10, 10, 20],
      runs: [
        { blocks: [0, 1] as const, ms: 16 },
        { blocks: [0, 2] as const, ms: 36 },
      ],
    },
    {
      block_ms: [1, 1, 2],
      runs: [
        { blocks: [1, 2] as const, ms: 3 },
        { blocks: [0, 0] as const, ms: 50 },
      ],
    },
  ];
  expect(correctionOf(nodes)).toBe(0.9);
});

it('is unknown where only single blocks were run', () => {
  expect(correctionOf([{ block_ms: [3], runs: [] }])).toBeUndefined();
});
