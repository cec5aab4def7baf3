import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cropBox, paintMasks, watchedCells } from '../../../shared/camera/areas.ts';

/** Lost if these fail: what a mask hides is seen by other machines. */

const share = fc.double({ min: 0, max: 1, noNaN: true });

/** Which pixels are black after painting. */
function painted(masks: readonly (readonly number[])[], width: number, height: number): boolean[] {
  const rgb = new Uint8Array(width * height * 3).fill(255);
  paintMasks(rgb, width, height, masks);
  return Array.from({ length: width * height }, (_, i) => rgb[3 * i] === 0);
}

test('a rectangle covers every pixel that it touches, and no other', () => {
  const black = painted([[0.3, 0.2, 0.7, 0.65]], 10, 10);
  for (let y = 0; y < 10; y++)
    for (let x = 0; x < 10; x++) expect([x, y, black[y * 10 + x]]).toEqual([x, y, x >= 3 && x < 7 && y >= 2 && y < 7]);
});

test('every pixel whose middle is inside a triangle is black, wherever its corners are', () => {
  const property = fc.property(fc.tuple(share, share, share, share, share, share), (corners) => {
    const [x1, y1, x2, y2, x3, y3] = corners;
    const black = painted([corners], 16, 9);
    const side = (ax: number, ay: number, bx: number, by: number, x: number, y: number): number =>
      (bx - ax) * (y - ay) - (by - ay) * (x - ax);
    for (const [i, isBlack] of black.entries()) {
      const x = ((i % 16) + 0.5) / 16;
      const y = (Math.floor(i / 16) + 0.5) / 9;
      const sides = [side(x1, y1, x2, y2, x, y), side(x2, y2, x3, y3, x, y), side(x3, y3, x1, y1, x, y)];
      if (sides.every((one) => one > 1e-9) || sides.every((one) => one < -1e-9)) expect(isBlack).toBe(true);
    }
  });
  fc.assert(property);
});

test('a crop is at least a pixel, and within the picture', () => {
  expect(cropBox([0.25, 0, 0.75, 1], 100, 50)).toEqual({ left: 25, top: 0, width: 50, height: 50 });
  expect(cropBox([1, 1, 1, 1], 100, 50)).toEqual({ left: 99, top: 49, width: 1, height: 1 });
});

test('cells outside of the crop, and masked ones, are not watched', () => {
  const watched = watchedCells({ width: 4, height: 2 }, [0, 0, 0.5, 1], [[0, 0, 0.25, 0.5]]);
  expect([...watched]).toEqual([0, 1, 0, 0, 1, 1, 0, 0]);
});
