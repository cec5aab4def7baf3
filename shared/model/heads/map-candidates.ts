import { type ReadBox, rowTable } from './box-readers.ts';
import {
  type CandidateContext,
  type HeadCandidate,
  implausible,
  type TrialOutput,
  type TrialOutputs,
  type Verdict,
} from './candidate.ts';
import { commonField, judgeBoxes, scoresReason, shortly } from './judge-boxes.ts';

/** Candidates with one or several values per pixel or cell: segmentation, pictures, FastestDet's head. */

interface PixelMap {
  readonly planes: number;
  readonly rows: number;
  readonly columns: number;
  /** Value of a plane at a pixel, counted row by row. */
  readonly at: (plane: number, pixel: number) => number;
}

function mapOf({ shape, values }: TrialOutput, channelsLast: boolean): PixelMap {
  const [a, b, c] = (shape.length === 3 ? [1, ...shape.slice(1)] : shape.slice(1)) as [number, number, number];
  if (shape.length === 3 || !channelsLast)
    return { planes: a, rows: b, columns: c, at: (plane, pixel) => values[plane * b * c + pixel]! };
  return { planes: c, rows: a, columns: b, at: (plane, pixel) => values[pixel * c + plane]! };
}

const isWhole = (dtype: TrialOutput['dtype']) => !dtype.startsWith('float');

function judgeSegments(map: PixelMap, whole: boolean): Verdict {
  const pixels = map.rows * map.columns;
  if (map.planes === 1) {
    if (whole) return { doubt: 0 };
    let clear = 0;
    let integers = 0;
    for (let pixel = 0; pixel < pixels; pixel++) {
      const value = map.at(0, pixel);
      if (value >= -1e-3 && value <= 1 + 1e-3 && (value < 0.1 || value > 0.9)) clear++;
      if (Number.isInteger(value) && value >= 0) integers++;
    }
    if (integers === pixels || clear > 0.8 * pixels) return { doubt: 0 };
    return implausible('the values of its pixels are neither class numbers nor clearly 0 or 1: a depth, perhaps');
  }
  let sums = 0;
  let between = 0;
  for (let pixel = 0; pixel < pixels; pixel++) {
    let sum = 0;
    let isBetween = true;
    for (let plane = 0; plane < map.planes; plane++) {
      const value = map.at(plane, pixel);
      if (!Number.isFinite(value)) return implausible(`${value} would be the score of a pixel`);
      if (value < -1e-3 || value > 1 + 1e-3) isBetween = false;
      sum += value;
    }
    if (Math.abs(sum - 1) < 1e-2) sums++;
    if (isBetween) between++;
  }
  if (between === pixels && sums < 0.99 * pixels)
    return implausible('the values of a pixel lie between 0 and 1, but do not sum to 1: heat maps, perhaps');
  return { doubt: sums === pixels && between === pixels ? 0 : 0.1 };
}

/** Similarity of an output picture and its input: correlation of their lightness on a coarse grid. */
function likeness(map: PixelMap, luma: Uint8Array, width: number, height: number): number {
  const GRID = 16;
  const [mine, given]: [number[], number[]] = [[], []];
  for (let row = 0; row < GRID; row++)
    for (let column = 0; column < GRID; column++) {
      const place = (rows: number, columns: number) =>
        Math.floor(((row + 0.5) * rows) / GRID) * columns + Math.floor(((column + 0.5) * columns) / GRID);
      let sum = 0;
      for (let plane = 0; plane < map.planes; plane++) sum += map.at(plane, place(map.rows, map.columns));
      mine.push(sum / map.planes);
      given.push(luma[place(height, width)]!);
    }
  return correlation(mine, given);
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    ab += (value - meanA) * (b[i]! - meanB);
    aa += (value - meanA) ** 2;
    bb += (b[i]! - meanB) ** 2;
  });
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb);
}

/** Least similarity in lightness of an output picture and its input. */
const LEAST_LIKENESS = 0.5;

function judgeFastestdet({ planes, rows, columns, at }: PixelMap, context: CandidateContext): Verdict {
  const cells = rows * columns;
  const classes = planes - 5;
  const values = new Float32Array(cells * planes);
  for (let cell = 0; cell < cells; cell++)
    for (let plane = 0; plane < planes; plane++) values[cell * planes + plane] = at(plane, cell);
  const table = rowTable(values, cells, planes);
  const reason = scoresReason(table, 0, 1) ?? scoresReason(table, 5, classes);
  if (reason !== undefined) return implausible(reason);
  if (commonField(table, 0, 1) !== undefined) return implausible('nearly every cell would hold an object');
  const boxes: ReadBox[] = [];
  for (let cell = 0; cell < cells; cell++) {
    let [sum, best, index] = [0, 0, 0];
    for (let plane = 5; plane < planes; plane++) {
      const value = at(plane, cell);
      sum += value;
      if (value > best) [best, index] = [value, plane - 5];
    }
    if (sum !== 0 && Math.abs(sum - 1) > 2e-2)
      return implausible(`the class scores of a cell would sum to ${shortly(sum)}`);
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const x = (((cell % columns) + Math.tanh(at(1, cell))) / columns) * context.width;
    const y = ((Math.floor(cell / columns) + Math.tanh(at(2, cell))) / rows) * context.height;
    const [w, h] = [(sigmoid(at(3, cell)) * context.width) / 2, (sigmoid(at(4, cell)) * context.height) / 2];
    const score = at(0, cell) ** 0.6 * best ** 0.4;
    boxes.push({ index, score, x1: x - w, y1: y - h, x2: x + w, y2: y + h });
  }
  return judgeBoxes(boxes, { ...context, chosen: false });
}

/** Interpretations of an output [1, planes, rows, columns] or [1, rows, columns]. */
export function mapCandidates(output: TrialOutput, context: CandidateContext): HeadCandidate[] {
  const { shape, name } = output;
  const { width, height, channels, channelsLast } = context;
  if (shape[0] !== 1 || shape.length < 3 || shape.length > 4) return [];
  const of = (look: TrialOutputs): PixelMap => mapOf(look.find((other) => other.name === name)!, channelsLast);
  const { planes, rows, columns } = mapOf(output, channelsLast);
  const base = { decoder: 'none', tensors: [], certain: false, background: null } as const;
  const found: HeadCandidate[] = [];
  const sixteenth = rows === height / 16 && columns === width / 16;
  if (shape.length === 4 && sixteenth && planes >= 6 && (planes === 85 || /fastest-?_?det/i.test(context.fileName)))
    found.push({
      name: 'fastestdet',
      head: { ...base, task: 'detect', decoder: 'fastestdet', classCount: planes - 5 },
      judge: (look) => judgeFastestdet(of(look), context),
    });
  if (shape.length === 4 && planes === channels && rows >= height && columns >= width)
    found.push({
      name: 'a picture',
      head: { ...base, task: 'image', classCount: undefined },
      judge: (look, picture) => {
        const luma = context.luma[picture];
        const like = luma === undefined ? 0 : likeness(of(look), luma, width, height);
        return like >= LEAST_LIKENESS ? { doubt: 0 } : implausible('what comes out does not look like what went in');
      },
    });
  if (rows === height && columns === width && !(planes === 1 && channels === 1))
    found.push({
      name: 'segments',
      head: { ...base, task: 'segment', classCount: planes === 1 ? undefined : planes },
      judge: (look) => {
        const verdict = judgeSegments(of(look), isWhole(output.dtype));
        // As many planes as the picture has channels can mean anything, unless they sum to 1.
        const isSure = planes !== channels || verdict.doubt === 0 || verdict.reason !== undefined;
        return isSure ? verdict : implausible('its planes are as many as the colours and do not sum to 1');
      },
    });
  return found;
}
