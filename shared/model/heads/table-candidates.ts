import { counted } from '../../counted.ts';
import type { Head } from '../guess-head.ts';
import {
  type BoxField,
  type BoxTable,
  boxesPerCell,
  columnTable,
  inPixels,
  readEnd2End,
  readObjectYolo,
  readPlainYolo,
  readYolox,
  rowTable,
  stridesOf,
  USUAL_FIELDS,
} from './box-readers.ts';
import {
  type CandidateContext,
  type HeadCandidate,
  implausible,
  type TrialOutput,
  type TrialOutputs,
  type Verdict,
  withoutLeadingOnes,
} from './candidate.ts';
import { commonField, judgeBoxes, scoresReason, shortly } from './judge-boxes.ts';

/** Candidates with one table of boxes; an output of masks beside it is ignored. */

const COCO = 80;
/** Mask weights that follow the classes of YOLO networks for segmentation. */
const MASKS = 32;
/** Most boxes of a graph with non-maximum suppression, and most numbers of each. */
const MAX_END2END = 2000;
const MAX_COLUMNS = 256;
const EVERYTHING = Number.NEGATIVE_INFINITY;

const DETECT = { task: 'detect', certain: false, background: null } as const;

/** Finds an output of a run by name. */
const find = (run: TrialOutputs, name: string): TrialOutput => run.find((output) => output.name === name)!;

/** A candidate of which `judge` gets the table of each run. */
function candidate(
  name: string,
  output: TrialOutput,
  head: Pick<Head, 'decoder' | 'classCount'> & Partial<Head>,
  table: (values: ArrayLike<number>) => BoxTable,
  judge: (table: BoxTable) => Verdict,
): HeadCandidate {
  return {
    name,
    head: { ...DETECT, tensors: [output.name], ...head },
    judge: (run) => judge(table(find(run, output.name).values)),
  };
}

function objectCandidate(
  output: TrialOutput,
  table: Tabler,
  classes: number,
  extra: number,
  context: CandidateContext,
): HeadCandidate {
  const head = { decoder: 'yolov5', classCount: classes, ...(extra === 0 ? {} : { classes }) } as const;
  return candidate(`yolov5 of ${counted(classes, 'class', 'classes')}`, output, head, table, (table) => {
    const reason = scoresReason(table, 4, 1 + classes);
    if (reason !== undefined) return implausible(reason);
    return judgeBoxes(readObjectYolo(table, classes, EVERYTHING), { ...context, chosen: false });
  });
}

/** The angle of a rotated box looks like one more class score: present in every confident box, and seldom the best. */
function angleReason(table: BoxTable, classes: number): string | undefined {
  const last = 4 + classes - 1;
  let meant = 0;
  for (let box = 0; box < table.boxes; box++) {
    let best = 0;
    for (let field = 4; field < last; field++) best = Math.max(best, table.at(box, field));
    if (best < 0.25) continue;
    meant++;
    if (table.at(box, last) < 0.05) return undefined;
  }
  return meant > 0 && classes > 1 ? 'its last field may be the angle of a turned box' : undefined;
}

/** `extra` fields follow the classes: key points in threes or pairs, or mask weights. */
function plainCandidate(
  output: TrialOutput,
  table: Tabler,
  classes: number,
  extra: number,
  context: CandidateContext,
): HeadCandidate {
  const head = { decoder: 'yolov8', classCount: classes, ...(extra === 0 ? {} : { classes }) } as const;
  const isKnown = context.labels > 0 || classes === COCO;
  const what = extra === 0 ? '' : extra === MASKS ? ' with masks' : ` with ${extra} numbers of key points`;
  return candidate(`yolov8 of ${counted(classes, 'class', 'classes')}${what}`, output, head, table, (table) => {
    const reason = scoresReason(table, 4, classes);
    if (reason !== undefined) return implausible(reason);
    const common = classes === 1 ? undefined : commonField(table, 4, classes);
    if (common !== undefined) return implausible(`nearly every box would be of class ${common - 4}`);
    const angle = isKnown || extra > 0 ? undefined : angleReason(table, classes);
    if (angle !== undefined) return implausible(angle);
    if (extra > 0 && extra !== MASKS && !isKnown) {
      // Key points are in pixels; class scores never exceed 1.
      let most = 0;
      for (let box = 0; box < table.boxes; box++) most = Math.max(most, table.at(box, 4 + classes));
      if (!(most > 2)) return implausible(`${shortly(most)} would be the largest place of a key point`);
    }
    return judgeBoxes(readPlainYolo(table, classes, EVERYTHING), { ...context, chosen: false });
  });
}

type Tabler = (values: ArrayLike<number>) => BoxTable;

/** Orders of the columns of an end2end table that exporters use. */
const END2END_FIELDS: readonly (readonly BoxField[])[] = [
  USUAL_FIELDS,
  ['x1', 'y1', 'x2', 'y2', 'class', 'score'],
  ['class', 'score', 'x1', 'y1', 'x2', 'y2'],
  ['batch', 'x1', 'y1', 'x2', 'y2', 'class', 'score'],
  ['batch', 'x1', 'y1', 'x2', 'y2', 'score', 'class'],
  ['batch', 'class', 'score', 'x1', 'y1', 'x2', 'y2'],
  ['x1', 'y1', 'x2', 'y2', 'object', 'score', 'class'],
  ['cx', 'cy', 'w', 'h', 'score', 'class'],
  ['cx', 'cy', 'w', 'h', 'class', 'score'],
  ['batch', 'cx', 'cy', 'w', 'h', 'class', 'score'],
];
/** Orders that may be followed by further columns: key points or mask weights. */
const LONGER = END2END_FIELDS.filter(([first, , , , , last]) => last === 'class' && (first === 'x1' || first === 'cx'));

function judgeFinished(table: BoxTable, fields: readonly BoxField[], context: CandidateContext): Verdict {
  const column = (name: BoxField) => fields.indexOf(name);
  const [scored, object, named, batch] = [column('score'), column('object'), column('class'), column('batch')];
  for (const field of [scored, object]) {
    const reason = field === -1 ? undefined : scoresReason(table, field, 1);
    if (reason !== undefined) return implausible(reason);
  }
  const most = context.labels > 0 ? context.labels : 65_536;
  for (let box = 0; box < table.boxes; box++) {
    if (!(table.at(box, scored) > 1e-6)) continue;
    const index = table.at(box, named);
    if (!Number.isInteger(index) || index < 0 || index >= most)
      return implausible(`${shortly(index)} would be a class`);
    if (batch !== -1 && table.at(box, batch) !== 0)
      return implausible(`${shortly(table.at(box, batch))} would be the number of the picture`);
  }
  const found = readEnd2End(table, fields, 1e-6);
  return judgeBoxes(inPixels(found, context), { ...context, chosen: true });
}

function end2EndCandidates(
  output: TrialOutput,
  boxes: number,
  columns: number,
  context: CandidateContext,
): HeadCandidate[] {
  return END2END_FIELDS.filter((fields) => fields.length === columns || (LONGER.includes(fields) && columns > 7)).map(
    (fields) =>
      candidate(
        `end2end (${fields.join(', ')})`,
        output,
        { decoder: 'end2end', classCount: undefined, ...(fields === USUAL_FIELDS ? {} : { fields }) },
        (values) => rowTable(values, boxes, columns),
        (table) => judgeFinished(table, fields, context),
      ),
  );
}

/** Possible numbers of classes of `fields`: that of the labels, else COCO's, else all remaining fields. */
function splitFields(
  fields: number,
  context: CandidateContext,
  hasMasks: boolean,
): { classes: number; extra: number }[] {
  const { labels } = context;
  const known = labels > 0 ? labels : fields - (hasMasks ? MASKS : 0) === COCO ? COCO : undefined;
  if (known !== undefined) {
    const extra = fields - known;
    const fits = extra === 0 || (hasMasks ? extra === MASKS : extra >= 4 && (extra % 3 === 0 || extra % 2 === 0));
    return fits ? [{ classes: known, extra }] : [];
  }
  if (hasMasks) return fields > MASKS ? [{ classes: fields - MASKS, extra: MASKS }] : [];
  const keyPoints = fields - 1;
  const isPoints = keyPoints >= 6 && (keyPoints % 3 === 0 || keyPoints % 2 === 0);
  return [{ classes: fields, extra: 0 }, ...(isPoints ? [{ classes: 1, extra: keyPoints }] : [])];
}

function rowReadings(
  output: TrialOutput,
  boxes: number,
  fields: number,
  context: CandidateContext,
  hasMasks: boolean,
): HeadCandidate[] {
  const table: Tabler = (values) => rowTable(values, boxes, fields);
  const { labels } = context;
  const strides = stridesOf(context, boxes);
  const perCell = boxesPerCell(context, boxes);
  const isAnchored = perCell === 3;
  const found: HeadCandidate[] = [];
  if (strides !== undefined && fields >= 6 && (labels === 0 || labels === fields - 5))
    found.push(
      candidate(
        `yolox of ${counted(fields - 5, 'class', 'classes')}`,
        output,
        { decoder: 'yolox', classCount: fields - 5 },
        table,
        (table) => {
          const reason = scoresReason(table, 4, fields - 4);
          if (reason !== undefined) return implausible(reason);
          return judgeBoxes(readYolox(table, context, strides, EVERYTHING), { ...context, chosen: false });
        },
      ),
    );
  // The shape alone tells whether there is an object score only for three boxes per cell, and for COCO.
  const isCoco = fields - 5 === COCO || fields - 4 === COCO;
  if (perCell !== undefined || labels > 0 || isCoco || hasMasks) {
    if (fields >= 6 && fields - 4 !== COCO)
      for (const { classes, extra } of splitFields(fields - 5, context, hasMasks))
        if (extra === 0 || extra === MASKS) found.push(objectCandidate(output, table, classes, extra, context));
    if (!isAnchored && fields - 5 !== COCO)
      for (const { classes, extra } of splitFields(fields - 4, context, hasMasks))
        found.push(plainCandidate(output, table, classes, extra, context));
  }
  return found;
}

/**
 * Interpretations of the first output as a table of boxes: [1, boxes, fields], [1, fields, boxes] or end2end boxes
 * [boxes, columns]. `hasMasks`: an output of mask prototypes [1, 32, h, w] exists too.
 */
export function tableCandidates(output: TrialOutput, context: CandidateContext, hasMasks: boolean): HeadCandidate[] {
  const { shape } = output;
  const [a = 0, b = 0] = shape.slice(-2) as [number, number];
  const isTable = withoutLeadingOnes(shape.slice(0, -2)).length === 0 && shape.length >= 2 && Math.max(a, b) >= 5;
  if (!isTable || context.metadata.get('task') === 'obb') return [];
  const isGrid = (boxes: number) => boxesPerCell(context, boxes) !== undefined;
  const found: HeadCandidate[] = [];
  if (b >= 6 && b <= MAX_COLUMNS && a <= MAX_END2END && !isGrid(a))
    found.push(...end2EndCandidates(output, a, b, context));
  if (shape.length !== 3) return found;
  if (b >= 5 && (a > b || isGrid(a)) && !(isGrid(b) && b > a))
    found.push(...rowReadings(output, a, b, context, hasMasks));
  if (a >= 5 && (b > a || isGrid(b)) && !(isGrid(a) && a > b)) {
    const table: Tabler = (values) => columnTable(values, b, a);
    for (const { classes, extra } of splitFields(a - 4, context, hasMasks))
      found.push(plainCandidate(output, table, classes, extra, context));
  }
  return found;
}
