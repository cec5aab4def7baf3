import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assign } from '../../../central/tracking/assignment.ts';

/** The least sum over all assignments, by trying them; a row without a column costs `limit`. */
function leastSum(cost: readonly (readonly number[])[], limit: number, row = 0, used = new Set<number>()): number {
  if (row === cost.length) return 0;
  let least = limit + leastSum(cost, limit, row + 1, used);
  for (const [column, price] of cost[row]!.entries()) {
    if (used.has(column) || price >= limit) continue;
    least = Math.min(least, price + leastSum(cost, limit, row + 1, new Set([...used, column])));
  }
  return least;
}

describe('assign', () => {
  it('costs no more than any other assignment, and gives no column twice', () => {
    const sizes = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 }));
    const costs = sizes.chain(([rows, columns]) =>
      fc.array(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: columns, maxLength: columns }), {
        minLength: rows,
        maxLength: rows,
      }),
    );
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 20 }), (cost, limit) => {
        const columnOf = assign(cost, limit);
        const given = columnOf.filter((column) => column !== undefined);
        expect(new Set(given).size).toBe(given.length);
        const prices = columnOf.map((column, row) => (column === undefined ? limit : cost[row]![column]!));
        expect(prices.every((price) => price <= limit)).toBe(true);
        expect(prices.reduce((sum, price) => sum + price, 0)).toBe(leastSum(cost, limit));
      }),
    );
  });

  it('makes no pair at the limit', () => {
    expect(assign([[0.8]], 0.8)).toEqual([undefined]);
    expect(assign([[0.79]], 0.8)).toEqual([0]);
  });
});
