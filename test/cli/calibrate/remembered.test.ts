import { describe, expect, it } from 'vitest';
import { spread } from '../../../cli/calibrate/pictures.ts';
import { remembered } from '../../../cli/calibrate/remembered.ts';

/** Ten thousand pictures must not need ten thousand pictures' memory. */

describe('remembered', () => {
  it('computes once what fits into its memory, and the rest each time', async () => {
    const made: number[] = [];
    const get = remembered(
      250,
      async (index) => {
        made.push(index);
        return index;
      },
      () => 100,
    );
    for (const index of [0, 1, 2, 0, 1, 2]) expect(await get(index)).toBe(index);
    expect(made).toEqual([0, 1, 2, 2]);
  });
});

describe('spread', () => {
  it('takes pictures from all parts of a folder that is sorted by class', () => {
    expect(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 5)).toEqual([0, 2, 4, 6, 8]);
    expect(spread([1, 2], 5)).toEqual([1, 2]);
    expect(new Set(spread([...Array(97).keys()], 96)).size).toBe(96);
  });
});
