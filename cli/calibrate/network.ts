import { choosePlan } from '../../central/planner/default-plan.ts';
import { withoutExits } from '../../central/planner/exits.ts';
import type { LoadRequest, ServedModel } from '../../central/served-model.ts';
import { decodeTask } from '../../central/tasks/task.ts';
import { clipCodes, encodeClipCodes, valuesOf } from '../../shared/codec/clip.ts';
import { findCodec } from '../../shared/codec/codecs.ts';
import { bytesOf } from '../../shared/codec/floats.ts';
import type { ClipSpec, CodecSpec } from '../../shared/codec/spec.ts';
import { TesseraError } from '../../shared/errors.ts';
import { extractSegment } from '../../shared/onnx/extract.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { boxShape, byteLength, crop, type Tensor } from '../../shared/tensor/tensor.ts';
import type { Region } from '../../shared/tiling/form.ts';
import type { Grid } from '../../shared/tiling/grid.ts';
import { loadInProcess } from '../in-process.ts';
import { differences, type Measure, type Outcome } from './tally.ts';

/**
 * The network as central would run it, for pictures. Throws TESSERA_MODEL_UNSUPPORTED where it takes no pictures, and
 * what `loadServedModel` throws.
 */
export async function openNetwork(request: LoadRequest): Promise<ServedModel> {
  try {
    const served = await loadInProcess(request);
    const { card, ...trunk } = withoutExits(served);
    // Only the network itself, without the tiles for which it was retrained.
    return { ...trunk, card: { ...card, tiles: [], exits: [], calibrated: [] } };
  } catch (error) {
    if (!(error instanceof TesseraError) || error.code !== 'TESSERA_SHAPE') throw error;
    throw new TesseraError(
      'TESSERA_MODEL_UNSUPPORTED',
      `only networks that take pictures can be calibrated: ${error.message}`,
      {
        hint:
          'describe its input pictures in model.yaml (input.shape, input.layout, input.color); for other tensors try codecs ' +
          'with `tessera infer --tensor SHAPE --codec clip:A:B:BITS`',
        cause: error,
      },
    );
  }
}

/** What the uncompressed network computes for one picture. */
export interface Sample {
  readonly maps: ReadonlyMap<string, Tensor>;
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** The number of the top predicted class; undefined where the task has no classes or nothing is predicted. */
  readonly answer: string | undefined;
  /** Bytes of the tensors at the cut that are not clipped. */
  readonly otherBytes: number;
}

/** A network in two pieces: the tile stage, and the rest. Its outputs equal a cluster's up to rounding. */
export interface CutNetwork {
  /** The tensors that tiles send, in order. */
  readonly tensors: readonly string[];
  /** Those that can be clipped: float32 and no output of the network. */
  readonly clipped: readonly string[];
  /** Codecs of the others. */
  readonly others: ReadonlyMap<string, CodecSpec>;
  /** Bytes of all tensors as they are in memory. */
  readonly rawBytes: number;
  run(picture: Tensor): Promise<Sample>;
  /** Bytes and differences for a picture when the tensors are sent with these codecs. */
  compare(picture: Tensor, sample: Sample, codecs: ReadonlyMap<string, ClipSpec>): Promise<Outcome>;
  release(): Promise<void>;
}

/**
 * Cuts the network after the tensors `place`, with tiles of the grid before the cut. Undefined where no output is computed
 * after the cut, or no tensor at the cut can be clipped. Throws TESSERA_PLAN_INVALID where tiles cannot end there.
 */
export async function cutNetwork(
  served: ServedModel,
  place: readonly string[],
  grid: Grid,
  measure: Measure,
  threads: number,
): Promise<CutNetwork | undefined> {
  const { resolved, input, outputs } = served;
  const { plan, stages } = choosePlan(served, {
    nodeCount: 1,
    grid,
    padding: 'halo',
    cuts: [place],
    codec: { name: 'raw' },
  });
  const tensors = plan.stages[0]!.outputs;
  const specOf = (tensor: string) => resolved.specs.get(tensor)!;
  const clipped = tensors.filter((tensor) => specOf(tensor).dtype === 'float32' && !outputs.includes(tensor));
  const rest = outputs.filter((output) => !tensors.includes(output));
  if (rest.length === 0 || clipped.length === 0) return undefined;

  const read = [...new Set(plan.stages.slice(1).flatMap((stage) => stage.inputs))];
  const load = (inputs: readonly string[], made: readonly string[]) =>
    loadSession(writeModel(extractSegment(resolved, inputs, made).model), { threads });
  const head = await load([input.name], tensors);
  const tail = await load(read, rest);

  const others = new Map<string, CodecSpec>();
  const packed: CodecSpec = { name: 'packed' };
  for (const tensor of tensors)
    if (!clipped.includes(tensor))
      others.set(tensor, findCodec(packed.name)!.carries(specOf(tensor)) ? packed : { name: 'raw' });
  const regions = stages[0]!.parts.flatMap(({ out }) => out);
  const regionsOf = new Map(tensors.map((tensor) => [tensor, regions.filter((region) => region.tensor === tensor)]));

  const finish = async (picture: Tensor, maps: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> => {
    const feeds = new Map(read.map((name) => [name, name === input.name ? picture : maps.get(name)!]));
    const made = await tail.run(feeds);
    return new Map(outputs.map((output) => [output, made.get(output) ?? maps.get(output)!]));
  };
  const firstAnswer = (found: ReadonlyMap<string, Tensor>): string | undefined => {
    if (measure === 'differences') return undefined;
    const view = { sourceWidth: 1, sourceHeight: 1, mapping: null };
    // Classes are compared by number: two may have the same name.
    return decodeTask(found, served.card, [], view).predictions[0]?.label;
  };

  return {
    tensors,
    clipped,
    others,
    rawBytes: tensors.reduce((sum, tensor) => sum + byteLength(specOf(tensor)), 0),
    async run(picture) {
      const maps = await head.run(new Map([[input.name, picture]]));
      const otherBytes = [...others].reduce(
        (sum, [tensor, codec]) => sum + encodedBytes(maps.get(tensor)!, regionsOf.get(tensor)!, codec),
        0,
      );
      const made = await finish(picture, maps);
      return { maps, outputs: made, answer: firstAnswer(made), otherBytes };
    },
    async compare(picture, { maps, outputs: reference, answer, otherBytes }, codecs) {
      const arrived = new Map(maps);
      let bytes = otherBytes;
      for (const [tensor, codec] of codecs) {
        const { shape, data } = maps.get(tensor)!;
        const codes: Tensor = { dtype: 'uint8', shape, data: clipCodes(data, codec) };
        for (const { box } of regionsOf.get(tensor)!) bytes += encodeClipCodes(crop(codes, box), codec).length;
        const values = valuesOf(codec);
        arrived.set(tensor, {
          dtype: 'float32',
          shape,
          data: bytesOf(Float32Array.from(codes.data, (code) => values[code]!)),
        });
      }
      const found = await finish(picture, arrived);
      return { bytes, same: firstAnswer(found) === answer, ...differences(reference, found) };
    },
    async release() {
      await head.release();
      await tail.release();
    },
  };
}

/** Bytes of a tensor's regions, each encoded by itself. */
function encodedBytes(tensor: Tensor, regions: readonly Region[], codec: CodecSpec): number {
  const { encode } = findCodec(codec.name)!;
  return regions.reduce((sum, { box }) => {
    const spec = { dtype: tensor.dtype, shape: boxShape(box) };
    return sum + encode(crop(tensor, box), spec, codec).length;
  }, 0);
}
