import type { ModelCard } from '../../shared/model/card.ts';
import { labelOf, labelsByClass } from '../../shared/model/labels.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import {
  type Answer,
  type DecodeRequest,
  type Decoder,
  NOTHING,
  roundScore,
  sigmoid,
  wrongOutputs,
} from './decoder.ts';

/** Number of classes in a result. */
export const CLASSES_NAMED = 5;

/** The values of the only output, one per class: every axis but one has size 1. */
function classValues(request: DecodeRequest): ArrayLike<number> {
  const output = request.outputs[0];
  if (output === undefined || output.tensor.shape.filter((size) => size !== 1).length > 1)
    throw wrongOutputs(request, 'one value per class, as [1, classes]');
  return numbers(output.tensor);
}

/**
 * The five best classes, whatever their score; `top` only when the best passes the threshold. A class whose score is
 * not a number, and the background class, are never named.
 */
function rank(scores: ArrayLike<number>, { card, labels: given }: DecodeRequest): Answer {
  const { background, score_threshold } = card.output;
  const labels = labelsByClass(given, scores.length, background);
  const best: { index: number; score: number }[] = [];
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index]!;
    if (index === background || !Number.isFinite(score)) continue;
    if (best.length === CLASSES_NAMED && score <= best.at(-1)!.score) continue;
    const place = best.findIndex((other) => score > other.score);
    best.splice(place === -1 ? best.length : place, 0, { index, score });
    if (best.length > CLASSES_NAMED) best.pop();
  }
  const predictions = best.map(({ index, score }) => ({ label: labelOf(labels, index), score: roundScore(score) }));
  const first = best[0];
  if (first === undefined) return NOTHING;
  return { top: first.score >= score_threshold ? { ...predictions[0]! } : null, predictions };
}

/** A single value is the probability of the second of two classes. */
const twoClasses = (probability: number) => [1 - probability, probability];

/** The values are probabilities already [1, classes]: the network ends with a softmax (or one sigmoid). */
function asTheyAre(values: ArrayLike<number>): ArrayLike<number> {
  return values.length === 1 ? twoClasses(values[0]!) : values;
}

/** Probabilities from logits: `softmax(x)[i] = exp(x[i] - max) / sum`. NaN where x is not a number. */
function softmax(values: ArrayLike<number>): ArrayLike<number> {
  if (values.length === 1) return twoClasses(sigmoid(values[0]!));
  const finite = Array.from(values, (value) => (Number.isFinite(value) ? value : Number.NEGATIVE_INFINITY));
  const most = finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = finite.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power, index) => (Number.isFinite(values[index]!) ? power / sum : Number.NaN));
}

/** Classes from probabilities [1, classes]. */
export const decodeSoftmax: Decoder = (request) => rank(asTheyAre(classValues(request)), request);

/** Classes from logits [1, classes]. */
export const decodeLogits: Decoder = (request) => rank(softmax(classValues(request)), request);

/** Largest value that can be a probability, with rounding. */
const MOST_PROBABLE = 1.001;

/**
 * Confidence of a classifier: the highest probability of its classes, the background included, with the tensor read as
 * `output.decoder` says. 0 where no value is a number, and where one is above 1: then the network was exported without
 * its softmax.
 */
export function confidence(tensor: Tensor, decoder: ModelCard['output']['decoder']): number {
  const values = numbers(tensor);
  const scores = decoder === 'logits' ? softmax(values) : asTheyAre(values);
  let most = 0;
  for (let index = 0; index < scores.length; index++) if (scores[index]! > most) most = scores[index]!;
  return most > MOST_PROBABLE ? 0 : most;
}
