import type { Size } from '../../shared/model/picture-placement.ts';
import type { Section } from '../../shared/model/sections.ts';
import type { Prediction } from '../../shared/protocol/messages/result.ts';
import { MAX_BOXES, MAX_CANDIDATES } from './boxes.ts';
import type { Answer } from './decoder.ts';

/** A box that ends this near to an edge of its section inside the picture is cut there: a share of the side, and pixels. */
const CUT_SHARE = 0.01;
const CUT_PIXELS = 2;
/** A box that a seam has cut gives way to one that contains so much of it. */
const CONTAINED = 0.5;

type Corners = readonly [number, number, number, number];

/** A prediction in pixels of the picture. */
interface Candidate {
  readonly prediction: Prediction;
  readonly box: Corners;
  readonly section: number;
  readonly isCut: boolean;
}

const inTenths = (side: number) => Math.round(side * 10) / 10;
const area = ([x1, y1, x2, y2]: Corners) => (x2 - x1) * (y2 - y1);

function common(a: Corners, b: Corners): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return width <= 0 || height <= 0 ? 0 : width * height;
}

/** Whether a box, in pixels of its section, ends at an edge of the section that is none of the picture. */
function isCutAt([x1, y1, x2, y2]: Corners, { left, top, width, height }: Section, picture: Size): boolean {
  const nearX = Math.max(CUT_PIXELS, CUT_SHARE * width);
  const nearY = Math.max(CUT_PIXELS, CUT_SHARE * height);
  return (
    (left > 0 && x1 <= nearX) ||
    (top > 0 && y1 <= nearY) ||
    (left + width < picture.width && x2 >= width - nearX) ||
    (top + height < picture.height && y2 >= height - nearY)
  );
}

/**
 * Merges what was found in the sections of a picture, `found` in the order of `sections`, boxes in pixels of each.
 * Predictions of one label in different sections are one object where they overlap by more than `iouThreshold`
 * (intersection over union), or where a seam has cut one of them and the other contains half of it. Uncut boxes come
 * before cut ones, then better before worse. Those of one section are never merged: its suppression has been done.
 */
export function mergeSections(
  found: readonly (readonly Prediction[])[],
  sections: readonly Section[],
  picture: Size,
  iouThreshold: number,
): Answer {
  const candidates = found.flatMap((predictions, index) => {
    const section = sections[index]!;
    return predictions.map((prediction): Candidate => {
      const [x1, y1, x2, y2] = prediction.box!;
      const { left, top } = section;
      const box: [number, number, number, number] = [
        inTenths(x1 + left),
        inTenths(y1 + top),
        inTenths(x2 + left),
        inTenths(y2 + top),
      ];
      return {
        prediction: { ...prediction, box },
        box,
        section: index,
        isCut: isCutAt([x1, y1, x2, y2], section, picture),
      };
    });
  });
  candidates.sort((a, b) => Number(a.isCut) - Number(b.isCut) || b.prediction.score - a.prediction.score);
  const kept: Candidate[] = [];
  for (const candidate of candidates.slice(0, MAX_CANDIDATES)) {
    const { box } = candidate;
    const isKnown = kept.some((better) => {
      if (better.section === candidate.section || better.prediction.label !== candidate.prediction.label) return false;
      const shared = common(box, better.box);
      return (
        shared > iouThreshold * (area(box) + area(better.box) - shared) ||
        (candidate.isCut && shared > CONTAINED * area(box))
      );
    });
    if (!isKnown) kept.push(candidate);
  }
  const predictions = kept
    .map(({ prediction }) => prediction)
    .sort((a, b) => b.score - a.score)
    .slice(0, MAX_BOXES);
  const [first] = predictions;
  return { top: first === undefined ? null : { label: first.label, score: first.score }, predictions };
}
