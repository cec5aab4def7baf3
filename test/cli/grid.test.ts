import { describe, expect, test } from 'vitest';
import { parseGridOption, parseShape } from '../../cli/grid.ts';

describe('--grid', () => {
  test.each([
    ['2x4', { rows: 2, cols: 4 }],
    ['5+9x7+7', { rows: [5, 9], cols: [7, 7] }],
    ['1X3', { rows: 1, cols: 3 }],
    ['auto', undefined],
  ])('reads %s', (text, grid) => expect(parseGridOption(text, '--grid')).toEqual(grid));

  test.each(['', '2', 'x', '2x', '0x2', '2x0+3', '-1x2', '2x2x2', '100x1', '2.5x2'])('refuses "%s"', (text) => {
    expect(() => parseGridOption(text, '--grid')).toThrow(/--grid/);
  });
});

describe('--tensor', () => {
  test('reads a shape', () => expect(parseShape('1x3x224x224', '--tensor')).toEqual([1, 3, 224, 224]));
  test.each(['', '1x', '1x0x3', 'axb', '1 x 3'])('refuses "%s"', (text) => {
    expect(() => parseShape(text, '--tensor')).toThrow(/--tensor/);
  });
});
