import type { Size } from '../model/picture-placement.ts';

/**
 * Areas of a picture, in shares of its width and height: the same for every resolution of a camera. A mask is a polygon
 * [x1, y1, x2, y2, ...]; two points are the corners of a rectangle. A crop is a rectangle [left, top, right, bottom].
 */

/** Corners of a polygon, x and y in turn. */
export type Polygon = readonly number[];

/** The part of a picture that is used. */
export type Crop = readonly [left: number, top: number, right: number, bottom: number];

/** Whole pixels of a crop, at least one; what is partly inside counts. */
export function cropBox([left, top, right, bottom]: Crop, width: number, height: number) {
  const x = Math.min(width - 1, Math.floor(left * width));
  const y = Math.min(height - 1, Math.floor(top * height));
  return {
    left: x,
    top: y,
    width: Math.max(1, Math.min(width, Math.ceil(right * width)) - x),
    height: Math.max(1, Math.min(height, Math.ceil(bottom * height)) - y),
  };
}

/**
 * Calls `row` with the pixels [from, to) of each row that a polygon covers in a picture of this size. A pixel that is
 * covered in part counts: what a mask hides must not shine through at its edge.
 */
export function coveredRows(
  polygon: Polygon,
  width: number,
  height: number,
  row: (y: number, from: number, to: number) => void,
): void {
  const points = cornersOf(polygon).map(([x, y]) => [x * width, y * height] as const);
  for (let y = 0; y < height; y++) {
    // The middle of the row and its two edges: what an edge of the polygon crosses in between is covered too.
    for (const line of [y, y + 0.5, y + JUST_BELOW]) {
      const crossings = crossingsOf(points, line);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const from = Math.max(0, Math.floor(crossings[i]!));
        const to = Math.min(width, Math.ceil(crossings[i + 1]!));
        if (from < to) row(y, from, to);
      }
    }
  }
}

/** What only touches a row's lower edge is not in it. */
const JUST_BELOW = 1 - 1e-9;

function cornersOf(polygon: Polygon): (readonly [number, number])[] {
  const points = Array.from({ length: polygon.length / 2 }, (_, i) => [polygon[2 * i]!, polygon[2 * i + 1]!] as const);
  if (points.length !== 2) return points;
  const [[x1, y1], [x2, y2]] = points as [readonly [number, number], readonly [number, number]];
  return [
    [x1, y1],
    [x2, y1],
    [x2, y2],
    [x1, y2],
  ];
}

/** Where a horizontal line crosses a polygon's edges, from left to right; always an even number. */
function crossingsOf(points: readonly (readonly [number, number])[], line: number): number[] {
  const found: number[] = [];
  for (const [i, [x1, y1]] of points.entries()) {
    const [x2, y2] = points[(i + 1) % points.length]!;
    if (y1 <= line === y2 <= line) continue;
    found.push(x1 + ((line - y1) / (y2 - y1)) * (x2 - x1));
  }
  return found.sort((a, b) => a - b);
}

/** Paints areas of RGB pixels [height, width, 3] black. */
export function paintMasks(rgb: Uint8Array, width: number, height: number, masks: readonly Polygon[]): void {
  for (const mask of masks)
    coveredRows(mask, width, height, (y, from, to) => rgb.fill(0, (y * width + from) * 3, (y * width + to) * 3));
}

/** The cells of a picture of this size that are in the crop and in no mask: 1 for each. */
export function watchedCells({ width, height }: Size, crop: Crop | undefined, masks: readonly Polygon[]): Uint8Array {
  const watched = new Uint8Array(width * height).fill(crop === undefined ? 1 : 0);
  if (crop !== undefined)
    coveredRows(crop, width, height, (y, from, to) => watched.fill(1, y * width + from, y * width + to));
  for (const mask of masks)
    coveredRows(mask, width, height, (y, from, to) => watched.fill(0, y * width + from, y * width + to));
  return watched;
}
