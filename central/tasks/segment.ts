import type { ClassGrid } from '../../shared/model/drawing.ts';
import { labelOf } from '../../shared/model/labels.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { type DecodeRequest, type Decoder, inputSize, NOTHING, roundScore, wrongOutputs } from './decoder.ts';

/** Classes that cover a smaller share of the picture are left out. */
const LEAST_SHARE = 0.001;

/** A map of scores or class numbers: `planes` scores per pixel (1: the class number itself, or one foreground score). */
interface ClassMap {
  readonly planes: number;
  readonly rows: number;
  readonly columns: number;
  readonly channelsLast: boolean;
}

function mapOf(shape: readonly number[], channelsLast: boolean): ClassMap | undefined {
  const [batch, a, b, c] = shape as [number, number, number, number];
  if (batch === 1 && shape.length === 3) return { planes: 1, rows: a, columns: b, channelsLast };
  if (batch !== 1 || shape.length !== 4) return undefined;
  return channelsLast
    ? { planes: c, rows: a, columns: b, channelsLast }
    : { planes: a, rows: b, columns: c, channelsLast };
}

/** The class of every pixel of an output, rows [rows, columns]; undefined where the output is no map of classes. */
export function classGrid(tensor: Tensor, layout: 'nchw' | 'nhwc'): ClassGrid | undefined {
  const map = mapOf(tensor.shape, layout === 'nhwc');
  if (map === undefined) return undefined;
  return { ...map, classes: classOfPixels(numbers(tensor), map, !tensor.dtype.startsWith('float')) };
}

/** The class of every pixel: the one with the largest score; for a single float, whether it exceeds 0.5. */
export function classOfPixels(values: ArrayLike<number>, map: ClassMap, isClassNumber: boolean): Int32Array {
  const pixels = map.rows * map.columns;
  const classes = new Int32Array(pixels);
  if (map.planes === 1) {
    for (let i = 0; i < pixels; i++) classes[i] = isClassNumber ? values[i]! : Number(values[i]! > 0.5);
    return classes;
  }
  const best = new Float32Array(pixels).fill(Number.NEGATIVE_INFINITY);
  const [planeStep, pixelStep] = map.channelsLast ? [1, map.planes] : [pixels, 1];
  for (let plane = 0; plane < map.planes; plane++) {
    let from = plane * planeStep;
    for (let i = 0; i < pixels; i++, from += pixelStep) {
      const value = values[from]!;
      if (value > best[i]!) {
        best[i] = value;
        classes[i] = plane;
      }
    }
  }
  return classes;
}

/** Rows and columns of the map that show the picture; the others are letterbox padding. */
function shownPart(request: DecodeRequest, map: ClassMap) {
  const { frame, card } = request;
  const all = { top: 0, bottom: map.rows, left: 0, right: map.columns };
  if (frame.mapping === null || card.input.resize !== 'letterbox') return all;
  const { scaleX, scaleY, offsetX, offsetY } = frame.mapping;
  const input = inputSize(card);
  const column = (x: number) => Math.round((((x - offsetX) / scaleX) * map.columns) / input.width);
  const row = (y: number) => Math.round((((y - offsetY) / scaleY) * map.rows) / input.height);
  return { top: row(0), bottom: row(frame.sourceHeight), left: column(0), right: column(frame.sourceWidth) };
}

/**
 * Segmentation. With labels: the classes by the share of the picture that they cover (background left out), and as
 * `top` the largest of at least `score_threshold`. Without labels: no predictions, only tensors.
 */
export const decodeSegment: Decoder = (request) => {
  const { labels, card } = request;
  const tensor = request.outputs[0]?.tensor;
  const map = mapOf(tensor?.shape ?? [], card.input.layout === 'nhwc');
  if (tensor === undefined || map === undefined)
    throw wrongOutputs(request, 'scores [1, classes, rows, columns] or class numbers [1, rows, columns]');
  if (labels.length === 0) return NOTHING;
  const classes = classOfPixels(numbers(tensor), map, !tensor.dtype.startsWith('float'));
  const { top, bottom, left, right } = shownPart(request, map);
  const counts = new Map<number, number>();
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) {
      const index = classes[y * map.columns + x]!;
      counts.set(index, (counts.get(index) ?? 0) + 1);
    }
  const total = Math.max(1, (bottom - top) * (right - left));
  const predictions = [...counts]
    .filter(([index, count]) => index !== card.output.background && count / total >= LEAST_SHARE)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 100)
    .map(([index, count]) => ({ label: labelOf(labels, index), score: roundScore(count / total) }));
  const first = predictions[0];
  return { top: first !== undefined && first.score >= card.output.score_threshold ? { ...first } : null, predictions };
};
