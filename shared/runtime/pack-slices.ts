import type { Model } from '../onnx/model.ts';
import type { BlobStore } from '../ports.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import { boxShape, byteLength, isDtype } from '../tensor/tensor.ts';
import { slicedConstant, type WeightRegion } from '../tiling/weight-slice.ts';
import { isBlob } from './package.ts';

/** Regions of weights as blobs of their own. */
export type PackedSlices = NonNullable<ModelManifest['slices']>;

/**
 * Stores regions of a model's weights, each as a blob. Regions of constants that lie in the skeleton are left out:
 * nodes have those. Throws TESSERA_BLOB where the store fails.
 */
export async function packSlices(
  { graph }: Model,
  regions: readonly WeightRegion[],
  store: BlobStore,
): Promise<PackedSlices> {
  const packed: PackedSlices = [];
  for (const { tensor, box } of regions) {
    const weights = graph.initializers.get(tensor)!;
    const { data, dtype } = weights;
    if (!isBlob(weights) || !isDtype(dtype)) continue;
    const bytes = data.kind === 'inline' ? data.bytes : await store.read(data.location, data.offset, data.length);
    const sha = await store.put(slicedConstant(weights, box, bytes));
    const size = byteLength({ dtype, shape: boxShape(box) });
    packed.push({ tensor, box: box.map(([start, end]): [number, number] => [start, end]), sha, size });
  }
  return packed;
}
