import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { type Fleet, fleetOf } from '../../../../central/planner/tiling/fleet.ts';
import { gridOn, gridsOn, proportional, soloists, stripsOn } from '../../../../central/planner/tiling/forms.ts';
import { clusterOf, smallNetwork } from './clusters.ts';

function fleet(...ms: number[]): Fleet {
  const found = fleetOf(clusterOf(smallNetwork(1, 8), ms));
  if (isNoPlan(found)) throw new Error(found.reason);
  return found;
}

test('sizes are proportional to speeds, add up, and are positive multiples of the step', () => {
  expect(proportional(7, [1, 1, 1, 1])).toEqual([2, 2, 2, 1]);
  expect(proportional(14, [2, 1, 1])).toEqual([7, 4, 3]);
  expect(proportional(16, [1, 1], 4)).toEqual([8, 8]);
  expect(proportional(10, [1, 1], 4)).toBeUndefined();
  expect(proportional(2, [1, 1, 1])).toBeUndefined();
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.double({ min: 0.001, max: 1000, noNaN: true }), { minLength: 1, maxLength: 20 }),
      (cells, weights) => {
        const sizes = proportional(cells, weights);
        if (cells < weights.length) expect(sizes).toBeUndefined();
        else {
          expect(sizes!.reduce((sum, size) => sum + size, 0)).toBe(cells);
          expect(Math.min(...sizes!)).toBeGreaterThanOrEqual(1);
        }
      },
    ),
  );
});

test('a grid has rows that are about equally fast, with the faster machines of each row first', () => {
  const { machines } = fleet(1, 2, 3, 4);
  const { machines: placed } = gridOn(machines, { rows: 2, cols: 2 });
  expect(placed.map(({ node }) => node.id)).toEqual(['pi-1', 'central', 'pi-2', 'pi-3']);
});

test('grids have one tile for each machine that is not much slower, for half of them, and so on; or are what the user set', () => {
  const eight = fleet(1, 1, 1, 1, 1, 1, 1, 1);
  const words = (shapes: readonly { rows: number; cols: number }[]) =>
    shapes.map(({ rows, cols }) => `${rows}x${cols}`);
  expect(words(gridsOn(eight))).toEqual(['1x8', '2x4', '4x2', '8x1', '1x4', '2x2', '4x1', '1x2', '2x1']);
  expect(words(stripsOn(eight))).toEqual(['1x8', '8x1', '1x4', '4x1', '1x2', '2x1']);
  expect(words(gridsOn(fleet(1, 1, 1, 100)))).toEqual(['1x3', '3x1', '1x2', '2x1']);
  const [asked] = gridsOn(fleet(1, 3), { rows: 2, cols: 2 });
  expect(asked!.machines.map(({ node }) => node.id)).toEqual(['pi-1', 'central', 'pi-1', 'pi-1']);
});

test('whole stages are tried on the fastest machines, the fastest of each tier, and where frames come from and go', () => {
  const many = fleet(3, 2, 4, 5, 6, 7, 9);
  expect(soloists(many).map(({ node }) => node.id)).toEqual(['pi-2', 'pi-1', 'pi-3', 'pi-4', 'central']);
});
