import { expect, test } from 'vitest';
import { chainCuts } from '../../../../central/planner/placement/chain.ts';
import { drawn } from '../../../support/placements.ts';

test('a chain can be cut where one tensor is live', () => {
  // A skip over v1, and the frame is read again by v4.
  const reads = [[-1], [0], [0, 1], [2], [3], [4]];
  const vertices = reads.map((of, v) => ({ ms: [1], reads: of, bytes: 10 + v }));
  expect(chainCuts(drawn({ ranks: [0], vertices }))).toEqual([
    { at: 1, bytes: 10 },
    { at: 3, bytes: 12 },
    { at: 4, bytes: 13 },
    { at: 5, bytes: 14 },
  ]);
  const again = vertices.map((vertex, v) => (v === 4 ? { ...vertex, reads: [3, -1] } : vertex));
  expect(chainCuts(drawn({ ranks: [0], vertices: again })).map(({ at }) => at)).toEqual([5]);
});
