import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { boundaries, checkSizes, evenSizes, gridSizes, parseGrid } from '../../../shared/tiling/grid.ts';

function code(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return error instanceof TesseraError && error.hint !== undefined ? error.code : undefined;
  }
  return undefined;
}

describe('a grid as the user writes it', () => {
  test('counts and sizes', () => {
    expect(parseGrid('2x4')).toEqual({ rows: 2, cols: 4 });
    expect(parseGrid(' 1X1 ')).toEqual({ rows: 1, cols: 1 });
    expect(parseGrid('7,7x4,4,3,3')).toEqual({ rows: 2, cols: 4, rowSizes: [7, 7], colSizes: [4, 4, 3, 3] });
  });

  test.each(['', '2', '2x', 'x2', '0x2', '2x-1', '2x2x2', '1.5x2', 'axb', '9999x1', '2,0x1'])(
    'refuses "%s" with a way out',
    (text) => {
      expect(code(() => parseGrid(text))).toBe('TESSERA_PLAN_INVALID');
    },
  );
});

describe('sizes of tiles', () => {
  test('differ by at most one and add up', () => {
    expect(evenSizes(14, 4)).toEqual([4, 4, 3, 3]);
    for (let total = 1; total < 40; total++)
      for (let parts = 1; parts <= total; parts++) {
        const sizes = evenSizes(total, parts);
        expect(sizes.length).toBe(parts);
        expect(sizes.reduce((a, b) => a + b)).toBe(total);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }
  });

  test('more tiles than cells are refused', () => {
    expect(code(() => evenSizes(3, 4))).toBe('TESSERA_PLAN_INVALID');
    expect(code(() => evenSizes(3, 0))).toBe('TESSERA_PLAN_INVALID');
  });

  test('uneven sizes have to add up to the map', () => {
    expect(gridSizes(parseGrid('3,11x2'), 14, 13, 't')).toEqual({ rows: [3, 11], cols: [7, 6] });
    expect(code(() => gridSizes(parseGrid('3,10x2'), 14, 13, 't'))).toBe('TESSERA_PLAN_INVALID');
    expect(code(() => checkSizes([7, 7.5], 14.5, 'rows', 't'))).toBe('TESSERA_PLAN_INVALID');
    expect(code(() => checkSizes([], 0, 'rows', 't'))).toBe('TESSERA_PLAN_INVALID');
  });

  test('boundaries', () => {
    expect(boundaries([4, 4, 3])).toEqual([0, 4, 8, 11]);
  });
});
