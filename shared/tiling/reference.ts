import type { Initializer, Model } from '../onnx/model.ts';
import { difference } from '../tensor/compare.ts';
import { boxShape, byteLength, crop, paste, type Tensor, type TensorSpec } from '../tensor/tensor.ts';
import { feedTensor, type StageForm } from './form.ts';
import { slicedConstant, withSlices } from './weight-slice.ts';

/** Runs a model once; the caller provides the runtime, since this folder is pure. */
export type RunModel = (model: Model, feeds: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>;

/**
 * Runs a stage part by part in one process: crop, run, paste, as a cluster would. `specs` gives the types of the
 * outputs, `constants` the network's weights, which slices of channels are cut from. Throws where a part's output does
 * not have the shape of its box.
 */
export async function runStage(
  form: StageForm,
  inputs: ReadonlyMap<string, Tensor>,
  specs: ReadonlyMap<string, TensorSpec>,
  run: RunModel,
  constants: ReadonlyMap<string, Initializer> = new Map(),
): Promise<Map<string, Tensor>> {
  const results = new Map<string, Tensor>();
  for (const tile of form.parts) {
    const feeds = new Map<string, Tensor>();
    for (const { tensor, box } of tile.in) {
      const whole = inputs.get(tensor)!;
      feeds.set(tensor, { dtype: whole.dtype, shape: boxShape(box), data: crop(whole, box) });
    }
    for (const feed of tile.feeds) feeds.set(feed.name, feedTensor(feed));
    const model = withSlices(tile.model, tile.slices, constants, (weights, { box }) => {
      if (weights.data.kind !== 'inline') throw new Error(`the weights "${weights.name}" are not here`);
      return { kind: 'inline', bytes: slicedConstant(weights, box, weights.data.bytes) };
    });
    const made = await run(model, feeds);
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

/** The largest difference between tensors of the same names, as a share of each one's range. */
export function compareTensors(expected: ReadonlyMap<string, Tensor>, actual: ReadonlyMap<string, Tensor>): number {
  return Math.max(...[...expected].map(([name, tensor]) => difference(tensor, actual.get(name)!).largest));
}

/** Runs the same stage in two forms (whole and tiled, for example) on the same inputs and compares the outputs. */
export async function compareForms(
  expected: StageForm,
  actual: StageForm,
  inputs: ReadonlyMap<string, Tensor>,
  specs: ReadonlyMap<string, TensorSpec>,
  run: RunModel,
  constants?: ReadonlyMap<string, Initializer>,
): Promise<number> {
  const whole = await runStage(expected, inputs, specs, run, constants);
  return compareTensors(whole, await runStage(actual, inputs, specs, run, constants));
}
