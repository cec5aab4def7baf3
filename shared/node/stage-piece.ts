import { TesseraError } from '../errors.ts';
import type { Model, ResolvedModel } from '../onnx/model.ts';
import { writeModel } from '../onnx/write.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import { boxShape, byteLength, type Dtype, sameBox } from '../tensor/tensor.ts';
import type { PartForm } from '../tiling/form.ts';
import { slicedConstant, withSlices } from '../tiling/weight-slice.ts';

/** The slices of weights that a manifest names. */
export type WeightSlices = NonNullable<ModelManifest['slices']>;

/** An ONNX model as the runtime runs it; `bytes` is its estimated memory. */
export interface Piece {
  readonly model: Uint8Array;
  readonly key: string;
  readonly bytes: number;
  readonly inputs: Model['graph']['inputs'];
  /** Blobs that the model reads. */
  readonly weights: readonly string[];
}

/** A session's memory besides its weights: graph, kernels, memory of feature maps. A conservative estimate. */
const SESSION_OVERHEAD_BYTES = 2_000_000;

/** The model of a part with its slices of weights: those of blobs are blobs themselves. Throws TESSERA_BLOB. */
export function withWeights({ model, slices }: PartForm, resolved: ResolvedModel, packed: WeightSlices): Model {
  return withSlices(model, slices, resolved.model.graph.initializers, (weights, { tensor, box }) => {
    const { data, dtype } = weights;
    if (data.kind === 'inline') return { kind: 'inline', bytes: slicedConstant(weights, box, data.bytes) };
    const found = packed.find((one) => one.tensor === tensor && sameBox(one.box, box));
    const length = byteLength({ dtype: dtype as Dtype, shape: boxShape(box) });
    if (found?.size !== length)
      throw new TesseraError(
        'TESSERA_BLOB',
        `the manifest names no slice of ${length} bytes of the weights "${tensor}"`,
      );
    return { kind: 'external', location: found.sha, offset: 0, length };
  });
}

/** A model as a piece; `hash` names its bytes. */
export function pieceOf(model: Model, hash: (bytes: Uint8Array) => string): Piece {
  const bytes = writeModel(model);
  return {
    model: bytes,
    key: hash(bytes),
    bytes: weightBytes(model) + SESSION_OVERHEAD_BYTES,
    inputs: model.graph.inputs,
    weights: externalWeights(model),
  };
}

function weightBytes(model: Model): number {
  let sum = 0;
  for (const { data } of model.graph.initializers.values())
    sum += data.kind === 'inline' ? data.bytes.byteLength : data.length;
  return sum;
}

function externalWeights(model: Model): string[] {
  return [...model.graph.initializers.values()].flatMap(({ data }) =>
    data.kind === 'external' ? [data.location] : [],
  );
}
