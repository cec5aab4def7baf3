import { TesseraError } from '../errors.ts';
import type { Initializer, Model } from '../onnx/model.ts';
import { type Box, boxShape, crop, isDtype } from '../tensor/tensor.ts';

/** A region of a constant of the network. */
export interface WeightRegion {
  readonly tensor: string;
  readonly box: Box;
}

/** A region of a constant, which the model of a part reads as its constant `name`. */
export interface WeightSlice extends WeightRegion {
  readonly name: string;
}

/** The model of a part with its slices of weights; `dataOf` gives the data of a slice. */
export function withSlices(
  model: Model,
  slices: readonly WeightSlice[],
  constants: ReadonlyMap<string, Initializer>,
  dataOf: (weights: Initializer, slice: WeightSlice) => Initializer['data'],
): Model {
  if (slices.length === 0) return model;
  const initializers = new Map(model.graph.initializers);
  for (const slice of slices) {
    const weights = constants.get(slice.tensor)!;
    const { name, box } = slice;
    initializers.set(name, { ...weights, name, dims: boxShape(box), data: dataOf(weights, slice) });
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

/**
 * The bytes of a region of a constant, given those of the whole; a view of them where the region lies in one run. Throws
 * TESSERA_INTERNAL for a type without elements.
 */
export function slicedConstant({ name, dtype, dims }: Initializer, box: Box, bytes: Uint8Array): Uint8Array {
  if (!isDtype(dtype)) throw new TesseraError('TESSERA_INTERNAL', `"${name}" of type ${dtype} is sliced`);
  const [first, ...rest] = box;
  if (first !== undefined && rest.every(([start, end], i) => start === 0 && end === dims[i + 1])) {
    const row = bytes.byteLength / dims[0]!;
    return bytes.subarray(first[0] * row, first[1] * row);
  }
  return crop({ dtype, shape: dims, data: bytes }, box);
}
