import { TesseraError } from '../errors.ts';
import type { Initializer, Model } from '../onnx/model.ts';
import { type Box, boxShape, crop, isDtype } from '../tensor/tensor.ts';

/** A region of a constant of the network, which the model of a part reads as its constant `name`. */
export interface WeightSlice {
  readonly name: string;
  readonly tensor: string;
  readonly box: Box;
}

/** The model of a part with its slices of weights; `constantOf` gives type and data of a slice. */
export function withSlices(
  model: Model,
  slices: readonly WeightSlice[],
  constantOf: (slice: WeightSlice) => Initializer,
): Model {
  if (slices.length === 0) return model;
  const initializers = new Map(model.graph.initializers);
  for (const slice of slices) initializers.set(slice.name, { ...constantOf(slice), name: slice.name });
  return { ...model, graph: { ...model.graph, initializers } };
}

/** A region of a constant, given the bytes of the whole. Throws TESSERA_INTERNAL for a type that has no plain elements. */
export function slicedConstant(constant: Initializer, box: Box, bytes: Uint8Array): Initializer {
  const { name, dtype, dims } = constant;
  if (!isDtype(dtype)) throw new TesseraError('TESSERA_INTERNAL', `"${name}" of type ${dtype} is sliced`);
  const data = crop({ dtype, shape: dims, data: bytes }, box);
  return { ...constant, dims: boxShape(box), data: { kind: 'inline', bytes: data } };
}
