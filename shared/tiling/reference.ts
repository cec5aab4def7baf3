import type { Model } from '../onnx/model.ts';
import { boxShape, byteLength, crop, paste, type Tensor, type TensorSpec } from '../tensor/tensor.ts';
import type { Feed, StageForm } from './form.ts';

/** Runs a model once; the runtime stays outside of this folder. */
export type RunModel = (model: Model, feeds: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;

/** A feed as a tensor. */
export function feedTensor({ dtype, shape, values }: Feed): Tensor {
  const elements = dtype === 'int64' ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
  return { dtype, shape, data: new Uint8Array(elements.buffer) };
}

/**
 * Runs a stage part by part in one process: crop, run, paste, as a cluster does it. `specs` gives the outputs' types.
 * Throws when a part makes another shape than its box.
 */
export async function runStage(
  form: StageForm,
  inputs: ReadonlyMap<string, Tensor>,
  specs: ReadonlyMap<string, TensorSpec>,
  run: RunModel,
): Promise<Map<string, Tensor>> {
  const results = new Map<string, Tensor>();
  for (const tile of form.tiles) {
    const feeds = new Map<string, Tensor>();
    for (const { tensor, box } of tile.in) {
      const whole = inputs.get(tensor)!;
      feeds.set(tensor, { dtype: whole.dtype, shape: boxShape(box), data: crop(whole, box) });
    }
    for (const feed of tile.feeds) feeds.set(feed.name, feedTensor(feed));
    const made = await run(form.model, feeds);
    for (const { tensor, box } of tile.out) {
      const piece = made.get(tensor)!;
      if (piece.shape.join() !== boxShape(box).join())
        throw new Error(`tile ${tile.t_id} makes [${piece.shape}] of "${tensor}" where its box has [${boxShape(box)}]`);
      const { dtype, shape } = specs.get(tensor)!;
      const target = results.get(tensor) ?? { dtype, shape, data: new Uint8Array(byteLength({ dtype, shape })) };
      results.set(tensor, target);
      paste(target, box, piece.data);
    }
  }
  return results;
}

/** How far a tensor is from what it should be. */
export interface Difference {
  readonly tensor: string;
  /** Largest absolute difference, and the same as a share of the range (largest minus smallest value) of the expected tensor. */
  readonly largest: number;
  readonly ofRange: number;
}

function numbers(tensor: Tensor): ArrayLike<number | bigint> {
  const { dtype, data } = tensor;
  const view = data.slice().buffer;
  if (dtype === 'float32') return new Float32Array(view);
  if (dtype === 'float64') return new Float64Array(view);
  if (dtype === 'int64') return new BigInt64Array(view);
  if (dtype === 'int32') return new Int32Array(view);
  if (dtype === 'int8') return new Int8Array(view);
  return new Uint8Array(view);
}

/** Compares tensors of equal type and shape, name by name in the order of `expected`; NaN differs from everything but NaN. */
export function compareTensors(
  expected: ReadonlyMap<string, Tensor>,
  actual: ReadonlyMap<string, Tensor>,
): Difference[] {
  return [...expected].map(([tensor, whole]) => {
    const a = numbers(whole);
    const b = numbers(actual.get(tensor)!);
    let [low, high, largest] = [
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      a.length === b.length ? 0 : Number.NaN,
    ];
    for (let i = 0; i < a.length; i++) {
      const [x, y] = [Number(a[i]), Number(b[i])];
      low = Math.min(low, x);
      high = Math.max(high, x);
      if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue;
      const difference = Math.abs(x - y);
      if (!(difference <= largest)) largest = difference;
    }
    const range = high - low;
    return { tensor, largest, ofRange: largest === 0 ? 0 : largest / (range > 0 ? range : 1) };
  });
}

/** Runs the same stage in two forms (whole and tiled, say) on the same inputs and compares what they make. */
export async function compareForms(
  expected: StageForm,
  actual: StageForm,
  inputs: ReadonlyMap<string, Tensor>,
  specs: ReadonlyMap<string, TensorSpec>,
  run: RunModel,
): Promise<Difference[]> {
  return compareTensors(await runStage(expected, inputs, specs, run), await runStage(actual, inputs, specs, run));
}
