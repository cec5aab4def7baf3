import { TesseraError } from '../../shared/errors.ts';
import { type ModelCard, pictureShape } from '../../shared/model/card.ts';
import type { FrameMapping, Size } from '../../shared/model/picture-placement.ts';
import type { Prediction } from '../../shared/protocol/messages/result.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/**
 * The frame that a network was run on. `mapping` is null where the frame was a tensor; boxes are then in pixels of the
 * input.
 */
export interface FrameView {
  readonly sourceWidth: number;
  readonly sourceHeight: number;
  readonly mapping: FrameMapping | null;
}

/** The predictions for a frame, sorted, the best first. */
export interface Answer {
  readonly top: { label: string; score: number } | null;
  readonly predictions: Prediction[];
}

/** The input of a decoder. `outputs` are in the order of `card.output.tensors`, else in the graph's. */
export interface DecodeRequest {
  readonly outputs: readonly { readonly name: string; readonly tensor: Tensor }[];
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly frame: FrameView;
}

/**
 * The post-processing of one kind of network: turns output tensors into predictions. Pure; whatever numbers the tensors
 * hold (NaN, infinities), scores and boxes are finite. Throws TesseraError TESSERA_MODEL_CARD where the shapes are not
 * those of its kind of network.
 */
export type Decoder = (request: DecodeRequest) => Answer;

/** The empty result: nothing was found, or the task has no predictions. */
export const NOTHING: Answer = { top: null, predictions: [] };

/** The error for outputs that do not fit the decoder. */
export function wrongOutputs(request: DecodeRequest, wanted: string): TesseraError {
  const { task, output, name } = request.card;
  const given = request.outputs.map((output) => `${output.name} [${output.tensor.shape.join(', ')}]`).join(', ');
  const what = output.decoder === 'none' ? `task ${task}` : `decoder ${output.decoder}`;
  return new TesseraError('TESSERA_MODEL_CARD', `model "${name}": ${what} needs ${wanted}; the outputs are ${given}`, {
    hint: 'choose another task or output.decoder in model.yaml, or name the right output.tensors',
  });
}

/**
 * Width and height of the network's picture input. Throws TesseraError TESSERA_SHAPE where model.yaml does not give
 * them.
 */
export function inputSize(card: ModelCard): Size {
  const size = card.input.shape === undefined ? undefined : pictureShape(card.input.shape, card.input.layout);
  if (size === undefined)
    throw new TesseraError('TESSERA_SHAPE', `model "${card.name}": boxes need the size of the input`, {
      hint: 'give input.shape in model.yaml, for example [1, 3, 320, 320]',
    });
  return size;
}

/** A score as it is published: within 0 to 1, four decimals. */
export function roundScore(score: number): number {
  return Math.round(Math.min(1, Math.max(0, score)) * 1e4) / 1e4;
}

/** The logistic function. */
export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
