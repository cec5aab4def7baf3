import type { BoxTable, ReadBox } from './box-readers.ts';
import { implausible, type Verdict } from './candidate.ts';

/** Scores are between 0 and 1; rounding may exceed that a little. */
const ROUNDING = 1e-3;
/** Number of best boxes that are judged in detail. */
const CLOSELY = 20;
/** A box with at least this score is a confident one; all of these must be plausible. */
const MEANT = 0.25;
/** Share of the other best boxes, and of all boxes, that may be implausible. */
const WRONG_BEST = 0.2;
const WRONG_ALL = 0.3;
/**
 * How far a box may exceed an edge, as a share of the input's side (for confident boxes and others), and its least side
 * in pixels.
 */
const OVER_EDGE = 0.25;
const MEANT_OVER_EDGE = 0.1;
const LEAST_SIDE = 2;
/** Fewest boxes of which a share is meaningful. */
const MANY = 16;

/** Properties of a list of boxes. */
export interface BoxList {
  readonly width: number;
  readonly height: number;
  /** The graph has filtered the boxes already, so many high scores mean nothing. */
  readonly chosen: boolean;
}

/** Why some scores are impossible; undefined where all are between 0 and 1. */
export function scoresReason({ boxes, at }: BoxTable, first: number, count: number): string | undefined {
  for (let field = first; field < first + count; field++)
    for (let box = 0; box < boxes; box++) {
      const value = at(box, field);
      if (!(value >= -ROUNDING && value <= 1 + ROUNDING)) return `${shortly(value)} would be a score`;
    }
  return undefined;
}

/** The first of some fields that is above a third for most boxes; such a field cannot be a class score. */
export function commonField({ boxes, at }: BoxTable, first: number, count: number): number | undefined {
  if (boxes < MANY) return undefined;
  for (let field = first; field < first + count; field++) {
    let high = 0;
    for (let box = 0; box < boxes; box++) if (at(box, field) > 0.3) high++;
    if (high > boxes / 2) return field;
  }
  return undefined;
}

/** A number for a message. */
export function shortly(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : String(value);
}

function isRight({ score, x1, y1, x2, y2 }: ReadBox, { width, height }: BoxList): boolean {
  const share = score >= MEANT ? MEANT_OVER_EDGE : OVER_EDGE;
  const [marginX, marginY] = [width * share, height * share];
  const inside = x1 >= -marginX && y1 >= -marginY && x2 <= width + marginX && y2 <= height + marginY;
  return inside && x2 - x1 >= LEAST_SIDE && y2 - y1 >= LEAST_SIDE;
}

/**
 * Whether boxes in pixels are plausible detections: every score is valid; confident boxes lie in the picture and have
 * an area, and so do most of the others; and not nearly every box is confident.
 */
export function judgeBoxes(boxes: readonly ReadBox[], list: BoxList): Verdict {
  for (const { score } of boxes)
    if (!(score >= -ROUNDING && score <= 1 + ROUNDING)) return implausible(`${shortly(score)} would be a score`);
  const scored = boxes.filter(({ score }) => score > 1e-6);
  if (scored.length === 0) return { doubt: 0, nothing: true };
  const high = scored.filter(({ score }) => score > 0.5).length;
  if (!list.chosen && boxes.length >= MANY && high > boxes.length / 2)
    return implausible(`${high} of ${boxes.length} boxes would have a score above 0.5`);
  const best = scored.toSorted((a, b) => b.score - a.score).slice(0, CLOSELY);
  const wrongBest = best.filter((box) => !isRight(box, list));
  const meant = wrongBest.find(({ score }) => score >= MEANT);
  const shown = ({ x1, y1, x2, y2 }: ReadBox) => `[${[x1, y1, x2, y2].map(shortly).join(' ')}]`;
  const frame = `the input of ${list.width}x${list.height}`;
  if (meant !== undefined) return implausible(`${shown(meant)} would be a box in ${frame}`);
  if (wrongBest.length > best.length * WRONG_BEST)
    return implausible(
      `${wrongBest.length} of the best ${best.length} boxes, as ${shown(wrongBest[0]!)}, are none in ${frame}`,
    );
  // Rows of zeros fill up the graph's output.
  const said = boxes.filter(({ x1, y1, x2, y2 }) => x1 !== 0 || y1 !== 0 || x2 !== 0 || y2 !== 0);
  const wrong = said.filter((box) => !isRight(box, list)).length;
  const doubt = said.length === 0 ? 1 : wrong / said.length;
  if (doubt > WRONG_ALL) return implausible(`${wrong} of ${said.length} boxes are none in ${frame}`);
  return { doubt };
}
