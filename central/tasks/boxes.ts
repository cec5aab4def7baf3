import type { ReadBox } from '../../shared/model/heads/box-readers.ts';
import { labelOf } from '../../shared/model/labels.ts';
import { IDENTITY_MAPPING } from '../../shared/model/picture-placement.ts';
import type { Prediction } from '../../shared/protocol/messages/result.ts';
import { type Answer, type DecodeRequest, inputSize, NOTHING, roundScore, wrongOutputs } from './decoder.ts';

/** Boxes that take part in non-maximum suppression: the best by score. A network with more of them produces noise. */
export const MAX_CANDIDATES = 1000;
/** Most boxes in the result of one frame. */
export const MAX_BOXES = 100;

/** Largest number that can be a score, with rounding; a box with a larger one is invalid. */
const MOST_SCORE = 1.01;

/** Throws TESSERA_MODEL_CARD for boxes with impossible scores: model.yaml names the wrong decoder or outputs. */
export function checkScores(candidates: readonly ReadBox[], request: DecodeRequest): readonly ReadBox[] {
  const wrong = candidates.find(({ score }) => score > MOST_SCORE);
  if (wrong !== undefined)
    throw wrongOutputs(request, `scores from 0 to 1, but ${Number(wrong.score.toPrecision(3))} would be one`);
  return candidates;
}

const area = (box: ReadBox): number => (box.x2 - box.x1) * (box.y2 - box.y1);

/** Intersection over union of two boxes, 0 to 1. */
export function overlap(a: ReadBox, b: ReadBox): number {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}

/**
 * Greedy non-maximum suppression per class: a box is dropped when a better one of its class overlaps it by more than
 * `iouThreshold`. Boxes with numbers that are not finite, or without area, are dropped first. The result is sorted by
 * score.
 */
export function nonMaximumSuppression(candidates: readonly ReadBox[], iouThreshold: number): ReadBox[] {
  const best = candidates
    .filter((box) => Number.isFinite(box.score) && Number.isFinite(area(box)) && area(box) > 0 && box.x2 > box.x1)
    .sort((a, b) => b.score - a.score)
    .slice(0, MAX_CANDIDATES);
  const kept: ReadBox[] = [];
  for (const box of best) {
    if (kept.length === MAX_BOXES) break;
    if (!kept.some((better) => better.index === box.index && overlap(better, box) > iouThreshold)) kept.push(box);
  }
  return kept;
}

/**
 * The predictions of some candidate boxes: those with at least the threshold's score, after non-maximum suppression,
 * labelled, in pixels of the received frame (one decimal, inside the frame). The background class is left out.
 */
export function answerWithBoxes(candidates: readonly ReadBox[], { card, labels, frame }: DecodeRequest): Answer {
  const { score_threshold, iou_threshold, background } = card.output;
  const wanted = candidates.filter(
    (box) => box.score >= score_threshold && box.score <= MOST_SCORE && box.index !== background,
  );
  if (wanted.length === 0) return NOTHING;
  const mapping = frame.mapping ?? IDENTITY_MAPPING;
  const limit = frame.mapping === null ? inputSize(card) : { width: frame.sourceWidth, height: frame.sourceHeight };
  const pixel = (value: number, most: number) => Math.round(Math.min(most, Math.max(0, value)) * 10) / 10;
  const predictions: Prediction[] = [];
  for (const box of nonMaximumSuppression(wanted, iou_threshold)) {
    const x1 = pixel(box.x1 * mapping.scaleX + mapping.offsetX, limit.width);
    const y1 = pixel(box.y1 * mapping.scaleY + mapping.offsetY, limit.height);
    const x2 = pixel(box.x2 * mapping.scaleX + mapping.offsetX, limit.width);
    const y2 = pixel(box.y2 * mapping.scaleY + mapping.offsetY, limit.height);
    // A box that lies outside the picture (in the padding, say) is dropped.
    if (x2 <= x1 || y2 <= y1) continue;
    predictions.push({ label: labelOf(labels, box.index), score: roundScore(box.score), box: [x1, y1, x2, y2] });
  }
  const first = predictions[0];
  return { top: first === undefined ? null : { label: first.label, score: first.score }, predictions };
}
