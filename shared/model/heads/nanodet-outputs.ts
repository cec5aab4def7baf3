import { type BoxTable, cellsOf, NANODET_BINS, rowTable, stridesOf } from './box-readers.ts';

/** An output of a NanoDet head. */
interface Output {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** The one table of a NanoDet head, scores first, and the strides of its grids. */
export interface NanodetTable {
  readonly table: BoxTable;
  readonly strides: readonly number[];
}

const SIDES = 4 * NANODET_BINS;
const BOXES = /dis|reg|box/i;

/**
 * The table of a NanoDet head: one output [1, cells, classes + 32], or for each stride an output of scores [1, cells,
 * classes] and one of distances [1, cells, 32], as earlier versions export them. Undefined where the shapes are others.
 */
export function nanodetTable(
  outputs: readonly Output[],
  input: { readonly width: number; readonly height: number },
): NanodetTable | undefined {
  if (outputs.some(({ shape }) => shape.length !== 3 || shape[0] !== 1)) return undefined;
  const [first] = outputs;
  if (first === undefined) return undefined;
  const [, cells, fields] = first.shape as [number, number, number];
  if (outputs.length === 1) {
    const strides = stridesOf(input, cells);
    return strides === undefined || fields <= SIDES
      ? undefined
      : { table: rowTable(first.values, cells, fields), strides };
  }
  const strides = [8, 16, 32, 64].slice(0, outputs.length / 2);
  const pairs = strides.map((stride) => pairOf(outputs, cellsOf(input, [stride])));
  if (strides.length < 3 || outputs.length !== 2 * strides.length) return undefined;
  const classes = pairs[0]?.[0].shape[2];
  if (classes === undefined || pairs.some((pair) => pair?.[0].shape[2] !== classes)) return undefined;
  const rows = pairs.flatMap((pair) => {
    const [scores, sides] = pair!;
    return Array.from({ length: scores.shape[1]! }, (_, cell) => ({
      scores: scores.values,
      sides: sides.values,
      cell,
    }));
  });
  const at = (box: number, field: number) => {
    const { scores, sides, cell } = rows[box]!;
    return field < classes ? scores[cell * classes + field]! : sides[cell * SIDES + field - classes]!;
  };
  return { table: { boxes: rows.length, fields: classes + SIDES, at }, strides };
}

/** Scores and distances of a grid with so many cells. */
function pairOf(outputs: readonly Output[], cells: number): readonly [Output, Output] | undefined {
  const [a, b, ...more] = outputs.filter(({ shape }) => shape[1] === cells);
  if (a === undefined || b === undefined || more.length > 0) return undefined;
  // 32 classes look like distances, so their names decide.
  const isTurned = a.shape[2] === SIDES && (b.shape[2] !== SIDES || (BOXES.test(a.name) && !BOXES.test(b.name)));
  const [scores, sides] = isTurned ? [b, a] : [a, b];
  return sides.shape[2] === SIDES ? [scores, sides] : undefined;
}
