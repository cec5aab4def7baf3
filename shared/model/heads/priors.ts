import type { BoxForm, BoxTable } from './box-readers.ts';

/**
 * Priors (anchors, default boxes) of heads whose graph does not apply them. A head's numbers are offsets from them
 * (SSD, Liu et al. 2016, equation 2, with the variances 0.1 and 0.2):
 *
 *   cx = prior.cx + 0.1 x dx x prior.w     w = prior.w x exp(0.2 x dw)     and the same for y and h
 *
 * Boxes follow one another by grid, row, column, and prior of the cell.
 */

/** Families of networks whose priors follow from the size of the input. */
export const PRIOR_SETS = ['retinaface', 'ssd-mobilenet', 'ssd300-voc', 'ssd300-coco'] as const;
export type PriorSet = (typeof PRIOR_SETS)[number];

/** One grid of priors. Without `rows` and `columns` it covers the input, a partial cell at the edge included. */
export interface PriorGrid {
  /** Distance of two cells, in pixels of the input. Absent: the input's side divided by the number of cells. */
  readonly stride?: number | undefined;
  readonly rows?: number | undefined;
  readonly columns?: number | undefined;
  /** Width and height of each prior of a cell, in pixels of the input. */
  readonly sizes: readonly (readonly [number, number])[];
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** biubug6/Pytorch_Retinaface, data/config.py: `min_sizes` and `steps`. */
const RETINAFACE: readonly PriorGrid[] = [
  { stride: 8, sizes: squares(16, 32) },
  { stride: 16, sizes: squares(64, 128) },
  { stride: 32, sizes: squares(256, 512) },
];

function squares(...sides: readonly number[]): [number, number][] {
  return sides.map((side) => [side, side]);
}

/**
 * TensorFlow's SSD with MobileNet (object_detection/anchor_generators/multiple_grid_anchor_generator.py,
 * `create_ssd_anchors`): six grids, scales from 0.2 to 0.95 of the input, three priors in a cell of the first grid and six
 * in the others.
 */
function ssdMobilenet({ width, height }: Size): PriorGrid[] {
  const scale = (grid: number) => (grid === 6 ? 1 : 0.2 + (0.75 * grid) / 5);
  const sized = (share: number, ratio: number): [number, number] => [
    share * Math.sqrt(ratio) * width,
    (share / Math.sqrt(ratio)) * height,
  ];
  const grids: PriorGrid[] = [];
  let [rows, columns] = [Math.ceil(height / 16), Math.ceil(width / 16)];
  for (let grid = 0; grid < 6; grid++) {
    const sizes =
      grid === 0
        ? [sized(0.1, 1), sized(0.2, 2), sized(0.2, 0.5)]
        : [
            ...[1, 2, 0.5, 3, 1 / 3].map((ratio) => sized(scale(grid), ratio)),
            sized(Math.sqrt(scale(grid) * scale(grid + 1)), 1),
          ];
    grids.push({ rows, columns, sizes });
    [rows, columns] = [Math.ceil(rows / 2), Math.ceil(columns / 2)];
  }
  return grids;
}

/** SSD300 (Liu et al. 2016; amdegroot/ssd.pytorch, data/config.py and layers/functions/prior_box.py). */
function ssd300(sides: readonly number[]): PriorGrid[] {
  const cells = [38, 19, 10, 5, 3, 1];
  const strides = [8, 16, 32, 64, 100, 300];
  return cells.map((count, grid) => {
    const [side, next] = [sides[grid]!, sides[grid + 1]!];
    const ratios = count === 38 || count <= 3 ? [2] : [2, 3];
    const turned = ratios.flatMap((ratio): [number, number][] => {
      const [long, short] = [side * Math.sqrt(ratio), side / Math.sqrt(ratio)];
      return [
        [long, short],
        [short, long],
      ];
    });
    const sizes = [...squares(side, Math.sqrt(side * next)), ...turned];
    return { rows: count, columns: count, stride: strides[grid]!, sizes };
  });
}

function gridsOf(set: PriorSet, input: Size): readonly PriorGrid[] {
  if (set === 'retinaface') return RETINAFACE;
  if (set === 'ssd-mobilenet') return ssdMobilenet(input);
  return ssd300(set === 'ssd300-voc' ? [30, 60, 111, 162, 213, 264, 315] : [21, 45, 99, 153, 207, 261, 315]);
}

/** The grids with everything that follows from the input. */
function laidOut(priors: PriorSet | readonly PriorGrid[], input: Size) {
  return (typeof priors === 'string' ? gridsOf(priors, input) : priors).map(({ sizes, stride, ...cells }) => {
    const columns = cells.columns ?? Math.ceil(input.width / stride!);
    const rows = cells.rows ?? Math.ceil(input.height / stride!);
    return { sizes, columns, rows, stepX: stride ?? input.width / columns, stepY: stride ?? input.height / rows };
  });
}

/** Number of priors of a head. */
export function priorCount(priors: PriorSet | readonly PriorGrid[], input: Size): number {
  return laidOut(priors, input).reduce((sum, { rows, columns, sizes }) => sum + rows * columns * sizes.length, 0);
}

/** All priors of a head as cx, cy, w, h in pixels of the input, one after another. */
export function priorsOf(priors: PriorSet | readonly PriorGrid[], input: Size): Float64Array {
  const made = new Float64Array(4 * priorCount(priors, input));
  let at = 0;
  for (const { rows, columns, stepX, stepY, sizes } of laidOut(priors, input))
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        for (const [width, height] of sizes) {
          made.set([(column + 0.5) * stepX, (row + 0.5) * stepY, width, height], at);
          at += 4;
        }
  return made;
}

/** The boxes that offsets from priors describe, as cx, cy, w, h in pixels. `form` `yxyx`: y comes first (TensorFlow). */
export function withPriors(offsets: BoxTable, priors: Float64Array, form: BoxForm | undefined): BoxTable {
  const order = form === 'yxyx' ? [1, 0, 3, 2] : [0, 1, 2, 3];
  return {
    boxes: offsets.boxes,
    fields: 4,
    at: (box, field) => {
      const offset = offsets.at(box, order[field]!);
      const prior = priors[4 * box + field]!;
      return field < 2 ? prior + 0.1 * offset * priors[4 * box + field + 2]! : prior * Math.exp(0.2 * offset);
    },
  };
}
