import { expect, test } from 'vitest';
import { firstInputCell, inputCellsEnd } from '../../../shared/tiling/receptive-field.ts';
import { paddedTaps, resizedTaps } from '../../../shared/tiling/rules/sampling.ts';
import { localIndices, type Taps, tapsField, tapsMatrix } from '../../../shared/tiling/taps.ts';

const reachOf = (taps: Taps, cells: number) => tapsField(taps, cells, { mul: 1, div: 1 }, (own) => own);

/** Lowest source, and one past the highest, of the output cells [a, b). */
function hull({ sources }: Taps, a: number, b: number): [number, number] {
  const all = sources.flatMap((source) => [...source.subarray(a, b)]);
  return [Math.min(...all), Math.max(...all) + 1];
}

test('a resized band needs exactly its source cells', () => {
  for (const mode of ['nearest', 'linear', 'cubic'])
    for (const coordinates of ['align_corners', 'half_pixel', 'asymmetric'])
      for (const [input, output] of [
        [22, 43],
        [43, 22],
        [7, 20],
        [1, 5],
      ] as const) {
        const sampling = { mode, coordinates, nearest: 'floor', cubic: -0.75, excludeOutside: false };
        const taps = resizedTaps({ input, output, scale: Math.fround(output / input) }, sampling)!;
        const reach = reachOf(taps, input);
        for (let a = 0; a < output; a++)
          for (let b = a + 1; b <= output; b++)
            expect([firstInputCell(reach, a), inputCellsEnd(reach, b)], `${mode} ${coordinates} [${a}, ${b})`).toEqual(
              hull(taps, a, b),
            );
      }
});

test('a mirrored band needs at least its source cells, and exactly those away from the border', () => {
  const taps = paddedTaps(12, 3, 2, 'reflect');
  expect([...taps.sources[0]!]).toEqual([3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 10, 9]);
  const reach = reachOf(taps, 12);
  for (let a = 0; a < 17; a++)
    for (let b = a + 1; b <= 17; b++) {
      const [low, high] = hull(taps, a, b);
      expect(firstInputCell(reach, a)).toBeLessThanOrEqual(low);
      expect(inputCellsEnd(reach, b)).toBeGreaterThanOrEqual(high);
      if (a >= 3 && b > 6 && b <= 15 && a <= 12)
        expect([firstInputCell(reach, a), inputCellsEnd(reach, b)]).toEqual([low, high]);
    }
});

test('a map of one cell is its own mirror image, and edges repeat', () => {
  expect([...paddedTaps(1, 2, 1, 'reflect').sources[0]!]).toEqual([0, 0, 0, 0]);
  expect([...paddedTaps(3, 2, 1, 'edge').sources[0]!]).toEqual([0, 0, 0, 1, 2, 2]);
});

test('positions and matrices are relative to the first cell of the tile', () => {
  const taps = { sources: [Int32Array.of(4, 5, 6), Int32Array.of(5, 6, 6)] };
  const weights = [Float32Array.of(0.5, 0.75, 0.25), Float32Array.of(0.5, 0.25, 0.75)];
  expect(localIndices(taps, 1, 3, 4)).toEqual([1, 2]);
  expect([...tapsMatrix({ ...taps, weights }, [1, 3], [4, 7], false)]).toEqual([0, 0.75, 0.25, 0, 0, 1]);
  expect([...tapsMatrix({ ...taps, weights }, [1, 3], [4, 7], true)]).toEqual([0, 0, 0.75, 0, 0.25, 1]);
});
